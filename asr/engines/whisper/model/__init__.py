"""Whisper's weights and the functions over them."""
