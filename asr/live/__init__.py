"""Live transcription: text while somebody speaks. Knows no HTTP."""
