"""Writes a transcript in the formats that callers ask for."""
