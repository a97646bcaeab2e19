"""Tests of people's speech with a real Whisper model, which the tester names."""
