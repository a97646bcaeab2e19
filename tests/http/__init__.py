"""Tests of asr/http/."""
