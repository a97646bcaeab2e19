"""Tests of asr/api/."""
