"""Tests of asr/api/openai/."""
