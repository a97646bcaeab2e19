"""Speakers are told apart while windows are transcribed, behind the engine's own work."""
