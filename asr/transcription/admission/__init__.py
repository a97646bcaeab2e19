"""Who may hold how much decoded audio, and when a refused caller should come back."""
