"""Official clients against a real server: everything that they can ask, and what they got."""
