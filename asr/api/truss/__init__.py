"""The API of JigsawStack's Insanely Fast Whisper on Truss, which Baseten serves."""
