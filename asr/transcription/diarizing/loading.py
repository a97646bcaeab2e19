"""Loads the diarizer once, when the first request asks for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from asr.concurrency import run_in_daemon
from asr.diarization.diarizer import Diarizer
from asr.errors import ConfigError, DiarizerUnavailable

log = logging.getLogger(__name__)


class LateDiarizer:
    """The diarizer of a server, loaded off the event loop when it is needed first.

    Args:
        load: loads it; some seconds of work.
    """

    def __init__(self, load: Callable[[], Diarizer]) -> None:
        self._load = load
        self._loading: asyncio.Future[Diarizer] | None = None

    async def get(self) -> Diarizer:
        """The diarizer; who leaves meanwhile does not stop its loading.

        Raises:
            DiarizerUnavailable: it cannot be loaded; the next request tries again.
        """
        try:
            return await self.load()
        except ConfigError as error:
            raise DiarizerUnavailable(f"the diarizer cannot be loaded: {error}") from error
        except Exception as error:  # the boundary of the libraries that load it
            log.exception("the diarizer cannot be loaded")
            raise DiarizerUnavailable(
                f"the diarizer cannot be loaded ({type(error).__name__}): the server's log has "
                "the details"
            ) from error

    async def load(self) -> Diarizer:
        """The diarizer, for the start of a server.

        Raises:
            ConfigError: the settings name one that cannot be used.
        """
        if self._loading is None or (self._loading.done() and self._loading.exception()):
            self._loading = asyncio.ensure_future(run_in_daemon(self._loaded))
        return await asyncio.shield(self._loading)

    def _loaded(self) -> Diarizer:
        began = time.monotonic()
        diarizer = self._load()
        log.info("diarizer %s loaded in %.1f s", diarizer.name, time.monotonic() - began)
        return diarizer
