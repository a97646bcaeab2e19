"""Tests of the benchmark scripts: what they count, not how fast anything is."""
