"""Automatic speech recognition over HTTP: one process, one engine, every caller's windows in it."""

__version__ = "0.1.0"
