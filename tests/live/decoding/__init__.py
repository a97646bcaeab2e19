"""Tests of how live audio is decoded."""
