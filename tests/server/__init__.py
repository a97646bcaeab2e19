"""Tests of asr/server/."""
