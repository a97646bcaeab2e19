"""The demo model: a tiny Whisper, trained here on synthesised speech."""
