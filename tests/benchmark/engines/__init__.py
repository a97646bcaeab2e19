"""Tests of benchmark/engines."""
