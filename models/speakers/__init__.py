"""The weights of the built-in diarizer."""
