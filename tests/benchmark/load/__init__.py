"""Tests of benchmark/load."""
