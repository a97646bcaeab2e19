"""Tests of asr/engines/pipeline/."""
