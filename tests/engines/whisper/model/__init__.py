"""Tests of asr/engines/whisper/model/."""
