"""Tests of asr/transcription/diarizing/."""
