"""Tests of the Whisper engine, against Transformers on random and trained weights."""
