"""The settings of the server, read from the environment."""
