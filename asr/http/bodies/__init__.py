"""Bodies of requests: forms, JSON and compressed ones, read in small pieces."""
