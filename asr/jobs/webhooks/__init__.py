"""Webhooks: what each says, and how it is delivered."""
