"""Tests of benchmark/gpu."""
