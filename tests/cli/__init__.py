"""Tests of asr/cli/."""
