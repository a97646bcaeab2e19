"""Tests of asr/api/truss/."""
