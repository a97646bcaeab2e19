"""Models that live in this repository."""
