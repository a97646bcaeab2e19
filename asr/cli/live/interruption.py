"""Ctrl-C: the first one ends the audio, the second one the command."""

from __future__ import annotations

import asyncio
import signal
import threading
from types import TracebackType
from typing import Any


class Interruption:
    """Watches for Ctrl-C in a block; of a thread that gets no signals, it watches for none."""

    def __init__(self) -> None:
        self.has_come = False
        self._audio: asyncio.Task[Any] | None = None
        self._command: asyncio.Task[Any] | None = None

    def __enter__(self) -> Interruption:
        self._command = asyncio.current_task()
        if threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self.come)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    def ends(self, audio: asyncio.Task[Any]) -> None:
        """Let the next Ctrl-C end this task."""
        self._audio = audio
        if self.has_come:
            audio.cancel()

    def come(self) -> None:
        """Do what Ctrl-C does."""
        task = self._command if self.has_come or self._audio is None else self._audio
        self.has_come = True
        if task is not None:
            task.cancel()
