"""Tests of asr/vad/."""
