"""Tests of benchmark/engine_comparison."""
