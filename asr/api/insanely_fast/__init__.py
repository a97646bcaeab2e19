"""The API of JigsawStack's Insanely Fast Whisper."""
