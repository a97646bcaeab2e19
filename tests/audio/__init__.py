"""Tests of asr/audio/."""
