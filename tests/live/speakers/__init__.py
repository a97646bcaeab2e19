"""Test who speaks in a live session."""
