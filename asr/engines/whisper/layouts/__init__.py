"""The layouts of files in which Whisper checkpoints are published."""
