"""Tests of asr/api/whisper_asr/."""
