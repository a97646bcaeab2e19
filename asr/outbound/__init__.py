"""Sends requests to other servers."""
