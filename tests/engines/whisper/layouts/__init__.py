"""Tests of the layouts of checkpoints."""
