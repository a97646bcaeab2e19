"""What `python -m asr listen` listens to, and what it prints."""
