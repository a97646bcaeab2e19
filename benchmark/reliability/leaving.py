"""Hang up in the middle of a long file, again and again, and see what is left of it."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field

from benchmark.reliability.observed import Observed, until
from benchmark.reliability.usage import Usage

CONNECT_S = 60.0  # A caller waits at most so many seconds to connect and to send.
IDLE_S = 30.0  # After a caller has left, so many seconds are waited for the server to be idle.
BEGIN_S = 20.0  # A caller leaves after so many seconds, whether its file is transcribed or not.
QUEUED = "asr_queue_audio_seconds"


@dataclass
class Leaving:
    """Holds how long the server stayed at work after each caller left, and what was left."""

    idle_s: list[float] = field(default_factory=list)
    before: Usage | None = None
    after: Usage | None = None

    @property
    def left(self) -> dict[str, int]:
        """Return what the server holds more than before the first caller."""
        assert self.before is not None
        assert self.after is not None
        return {
            "temporary files": self.after.files - self.before.files,
            "ffmpeg processes": self.after.children - self.before.children,
            "descriptors": self.after.descriptors - self.before.descriptors,
        }


def leave(observed: Observed, data: bytes, times: int, share: float = 0.2) -> Leaving:
    """Send `share` of `data`, wait until it is being transcribed, hang up; `times` in all."""
    leaving = Leaving()
    for _ in range(times):
        observed.until_idle()
        leaving.before = leaving.before or observed.usage()
        _leave_once(observed, data, share)
        leaving.idle_s.append(observed.until_idle(IDLE_S))
    leaving.after = observed.usage()
    return leaving


def _leave_once(observed: Observed, data: bytes, share: float) -> None:
    address = ("127.0.0.1", observed.server.port)
    head = f"POST /asr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    with socket.create_connection(address, CONNECT_S) as caller:
        part = head + data[: int(len(data) * share)]
        sender = threading.Thread(target=_send, args=(caller, part))
        sender.start()
        until(lambda: _is_at_work(observed), BEGIN_S)
        with contextlib.suppress(OSError):
            caller.shutdown(socket.SHUT_RDWR)
        sender.join()


def _is_at_work(observed: Observed) -> bool:
    """Whether a window is in the engine, or audio waits; a request alone counts as one second."""
    return observed.metric("asr_engine_windows") > 0 or observed.metric(QUEUED) > 1


def _send(caller: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # hung up: the rest is not wanted
        caller.sendall(data)
