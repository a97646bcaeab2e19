"""Tests of asr/transcription/admission/."""
