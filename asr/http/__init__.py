"""How requests are read and answered; no dialect is known here."""
