"""Who speaks in a live session: the same person has the same label to its end."""
