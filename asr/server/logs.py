"""Keeps secrets out of the log, and writes repeated errors once a minute."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from aiohttp.http_exceptions import HttpProcessingError

FORMAT = "%(asctime)s %(levelname)s %(message)s"
LIBRARIES = ("asyncio", "aiohttp.server", "aiohttp.web", "aiohttp.internal", "aiohttp.client")
REPEAT_SECONDS = 60  # The same error is logged once in so many seconds.

USER = re.compile(r"(?<=//)[^\s/?#'\"]*@")
QUERY = re.compile(r"[?&;][^\s=&?'\"<>]*=[^\s'\"<>]*")
# Keys as browsers send them when they open a WebSocket, and client secrets.
LIVE_KEY = re.compile(r"(openai-insecure-api-key\.|\bek_)[^\s,'\"]+")


def configure(level: str) -> None:
    """Write the log to stderr, from `level` on."""
    logging.basicConfig(level=level)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(SafeFormatter(FORMAT))


def redacted(text: str) -> str:
    """Take out of `text` what may be secret: keys of WebSockets; of URLs user, password, query."""
    if "@" in text:
        text = USER.sub("", text)
    if "ek_" in text or "-key." in text:
        text = LIVE_KEY.sub(r"\1…", text)
    return QUERY.sub("?…", text) if "=" in text else text


class SafeFormatter(logging.Formatter):
    """Formats a record without the secrets of URLs, those in its traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


@dataclass
class _Repeated:
    """An error that was logged, and how often it came again since."""

    since: float  # seconds, by the clock of the filter
    record: logging.LogRecord
    count: int = 0


class RepeatedErrors(logging.Filter):
    """Lets the same error through once a minute, and counts the others.

    A library's error can come a hundred times a second, each with its traceback: when no
    descriptor is left to accept a connection with, for example.
    """

    def __init__(
        self, seconds: float = REPEAT_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._logged: dict[Hashable, _Repeated] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or getattr(record, "is_count", False):
            return True
        kind = _kind(record)
        earlier = self._logged.get(kind)
        if earlier is not None and self._clock() - earlier.since < self._seconds:
            earlier.count += 1
            return False
        if earlier is not None:
            _report(earlier)
        self._logged[kind] = _Repeated(self._clock(), record)
        return True

    def report(self) -> None:
        """Log how often each error came again, once its time is over."""
        over = self._clock() - self._seconds
        for kind, earlier in list(self._logged.items()):
            if earlier.since <= over:
                del self._logged[kind]
                _report(earlier)


def watch_libraries() -> RepeatedErrors:
    """Filter what the libraries log of connections; the caller calls `report` now and then."""
    filter_ = RepeatedErrors()
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.addFilter(_is_ours)
        logger.addFilter(filter_)
    return filter_


def _kind(record: logging.LogRecord) -> Hashable:
    """What errors have in common that are the same: where they come from, and their type."""
    first = str(record.msg).partition("\n")[0]  # asyncio adds the addresses of objects below it
    kind, place = None, None
    if record.exc_info and record.exc_info[0] is not None:
        kind, _, trace = record.exc_info
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = trace and (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
    return record.name, record.levelno, first, kind, place


def _report(earlier: _Repeated) -> None:
    if not earlier.count:
        return
    record = earlier.record
    first = record.getMessage().partition("\n")[0]
    logging.getLogger(record.name).log(
        record.levelno,
        "%s: %d times more within a minute",
        first,
        earlier.count,
        extra={"is_count": True},
    )


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a log record is about an error here, not about bytes that are no HTTP."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, HttpProcessingError)
