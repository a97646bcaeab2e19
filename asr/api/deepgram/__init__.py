"""Deepgram's API of recordings: `/v1/listen`."""
