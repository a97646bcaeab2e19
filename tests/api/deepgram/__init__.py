"""Tests of asr/api/deepgram/."""
