"""Tests of the models that are shipped."""
