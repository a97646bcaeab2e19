"""Tests of live transcription."""
