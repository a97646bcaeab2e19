"""Tests of the choice of a number format."""
