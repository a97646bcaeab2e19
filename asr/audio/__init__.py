"""Decodes any container or codec to 16 kHz mono PCM."""
