"""The number formats of the Whisper engine on a CPU, and which of them is the fastest there."""
