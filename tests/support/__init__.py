"""Give tests engines, sounds, servers and models."""
