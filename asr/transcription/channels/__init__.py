"""Transcribes the channels of a recording each by itself, and merges their text."""
