"""Measures who speaks when, on files composed of single voices."""
