"""OpenAI's Realtime API, as far as it transcribes: events over a WebSocket."""
