"""The process: its app, its port and its end."""
