"""Holds the tables of jobs, in a file or a server."""
