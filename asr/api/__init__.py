"""What callers say: a folder for each dialect."""
