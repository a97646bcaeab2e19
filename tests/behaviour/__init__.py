"""Tests of what a caller sees, across modules."""
