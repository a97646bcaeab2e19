"""All live sessions of a server."""

from __future__ import annotations

from asr.errors import ShuttingDown, TooManySessions
from asr.live.options import LiveOptions
from asr.live.session import EndReason, LiveSession, check_options
from asr.live.voice import choose
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup
from asr.vad.detector import Detector


class LiveSessions:
    """Opens live sessions, and limits how many there are at once.

    Args:
        most: sessions that may be open at once.
        longest_s: seconds after which a session ends by itself.
        detector: None: Silero's, or the energy detector where that cannot be loaded.
    """

    def __init__(
        self,
        setup: TranscriptionSetup,
        scheduler: Scheduler,
        most: int,
        longest_s: float,
        detector: Detector | None = None,
    ) -> None:
        self._setup = setup
        self._scheduler = scheduler
        self._most = most
        self._longest = longest_s
        self._detector = detector or choose()
        self._open: set[LiveSession] = set()  # those that have begun and not ended
        self._is_stopping = False

    @property
    def count(self) -> int:
        """How many sessions are open."""
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Whether as many are open as there may be."""
        return self.count >= self._most

    def open(self, options: LiveOptions) -> LiveSession:
        """Open a session, which counts while it is in its `async with`.

        Raises:
            BadRequest: the model or the server cannot honour the options.
            TooManySessions: as many are open as there may be.
            ShuttingDown: the server is about to end.
        """
        if self._is_stopping:
            raise ShuttingDown("the server is shutting down: connect again in a moment")
        check_options(self._setup, options)
        if self.is_full:
            raise TooManySessions(self._most)
        means = self._setup, self._scheduler, self._detector
        return LiveSession(*means, options, self._longest, self._open)

    def stop(self) -> None:
        """End all sessions at once, and open no more: the server is about to end."""
        self._is_stopping = True
        for session in list(self._open):
            session.stop(EndReason.SHUTTING_DOWN)
