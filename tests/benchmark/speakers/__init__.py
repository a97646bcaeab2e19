"""Tests of `benchmark.speakers`."""
