"""The command line: transcribes files in its own process, or by jobs of a server."""
