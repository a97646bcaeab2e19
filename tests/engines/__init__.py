"""Tests of asr/engines/."""
