"""Tests of asr/engines/whisper/decoding/."""
