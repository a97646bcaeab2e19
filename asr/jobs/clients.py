"""Knows the clients by their API keys, and how much each may do at once."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from asr.config.keys import ApiKey
from asr.errors import TooManyRequests


class Clients:
    """Counts the requests of each client, and says whose jobs have to wait.

    The limits hold on one server: several that share a queue add up.
    """

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = [(_digest(each.key), each.client) for each in keys]
        self._limits = {each.client: each.concurrency for each in keys if each.concurrency}
        self._in_flight: Counter[str] = Counter()

    @property
    def need_keys(self) -> bool:
        """Whether a request is refused without a key."""
        return bool(self._keys)

    def client_of(self, given: str) -> str | None:
        """The client who has the key; None: nobody.

        All keys are compared, each in the same time, so that it tells nothing of any.
        """
        asked = _digest(given)
        same = [client for key, client in self._keys if hmac.compare_digest(key, asked)]
        return same[0] if same else None

    @contextlib.contextmanager
    def request(self, client: str) -> Iterator[None]:
        """Count a request of the client during the block.

        Raises:
            TooManyRequests: as many as it may have are in flight.
        """
        limit = self._limits.get(client)
        if limit is not None and self._in_flight[client] >= limit:
            raise TooManyRequests(client, limit)
        self._in_flight[client] += 1
        try:
            yield
        finally:
            self._in_flight[client] -= 1

    def excluded(self, running: Iterable[str]) -> set[str]:
        """The clients who have as many jobs running as they may.

        Args:
            running: the client of each job that runs on this server.
        """
        counts = Counter(running)
        return {client for client, limit in self._limits.items() if counts[client] >= limit}


def _digest(key: str) -> bytes:
    """Hash the key, so that keys of all lengths are compared in the same time."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
