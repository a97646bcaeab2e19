"""Tests of asr/api/wyoming/."""
