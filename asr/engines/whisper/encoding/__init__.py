"""From windows to the encoder's output: which go together, and on which cores."""
