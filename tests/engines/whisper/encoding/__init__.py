"""Tests of asr/engines/whisper/encoding/."""
