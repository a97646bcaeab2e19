"""Tests of asr/api/native/."""
