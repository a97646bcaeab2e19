"""The recipe: decode, cut, submit, join."""
