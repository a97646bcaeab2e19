"""Tests of asr/outbound/."""
