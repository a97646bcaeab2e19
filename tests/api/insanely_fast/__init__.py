"""Tests of asr/api/insanely_fast/."""
