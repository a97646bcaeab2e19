"""Tests of benchmark/accuracy."""
