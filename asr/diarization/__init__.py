"""Who speaks when, without a hub and without a token."""
