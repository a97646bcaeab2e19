"""What tests use: engines, sounds, servers, models."""
