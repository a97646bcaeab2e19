"""Learns from a server's metrics which utterances it decoded again behind what was said before."""

from __future__ import annotations

import aiohttp

METRICS = "/metrics"
COUNTER = "asr_live_windows_in_context_total "


class ContextCounter:
    """Asks for a counter of the whole server: others may not speak meanwhile."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client
        self._count = 0.0

    async def has_grown(self) -> bool:
        """Whether it is larger than when it was asked before.

        A server without it, or which does not show it, has 0.
        """
        async with self._client.get(METRICS) as answer:
            lines = (await answer.text()).splitlines()
        before = self._count
        self._count = next((float(s.split()[1]) for s in lines if s.startswith(COUNTER)), 0.0)
        return self._count > before
