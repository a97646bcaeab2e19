"""How soon text comes while somebody speaks, and for how many at once."""
