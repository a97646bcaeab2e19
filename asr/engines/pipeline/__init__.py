"""The engine of Transformers' own pipeline."""
