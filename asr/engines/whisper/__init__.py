"""The Whisper engine on Transformers weights."""
