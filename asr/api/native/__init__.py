"""The service's own dialect: `/asr`."""
