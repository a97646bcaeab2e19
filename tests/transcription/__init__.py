"""Tests of asr/transcription/."""
