"""Any container or codec to 16 kHz mono PCM."""
