"""Tests of asr/formats/."""
