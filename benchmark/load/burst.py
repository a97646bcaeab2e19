"""Measures what a burst of requests at once costs the server, and how it answers them."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from urllib.parse import urlsplit

if __name__ == "__main__":
    from benchmark import missing_packages

    missing_packages.explain()

from asr.config.config import DEMO_MODEL
from benchmark import recordings
from benchmark.load.server_engines import PACED
from benchmark.load.server_process import Setup, running_server
from benchmark.process_usage import MIB, peak_bytes, reset_peak, resident_bytes

GOAL_MIB = 200  # The server's memory may grow by so much.
ANSWER_S = 900.0  # A request that is not answered within so many seconds has failed.
IDLE_S = 15.0  # So many seconds after the last answer freed memory is given back.
PROBE_S = 0.1  # The health check is sent so often.
REFUSED = (429, 503)  # A refused request has one of these statuses.
DESCRIPTORS = 1000  # Client and server need so many beside those of the requests.


@dataclass(eq=False)
class Caller:
    """One connection with one request: what is left to send, what came back, and when."""

    link: socket.socket
    unsent: memoryview
    received: bytearray = field(default_factory=bytearray)
    began: float = 0.0  # when its first bytes were sent
    seconds: float = 0.0  # from then to the answer's head
    failure: str = ""

    @property
    def status(self) -> int:
        """Return the answer's status; 0 where there is none."""
        return int(self.received[9:12]) if self.received.startswith(b"HTTP/1.1 ") else 0

    def has_header(self, name: bytes) -> bool:
        return b"\r\n" + name.lower() + b":" in bytes(self.received).lower()

    @property
    def is_answered(self) -> bool:
        head, end, body = bytes(self.received).partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return bool(end) and len(body) >= int(length or 0)


@dataclass
class Burst:
    """Holds what a burst showed: answers, memory in bytes, seconds of the health check."""

    callers: list[Caller]
    before: float = 0.0
    peak: float = 0.0
    after: float = 0.0
    health: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def grown_mib(self) -> float:
        return (self.peak - self.before) / MIB

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(one.failure or str(one.status) for one in self.callers)

    @property
    def refusals(self) -> list[float]:
        return sorted(one.seconds for one in self.callers if one.status in REFUSED)

    @property
    def is_good(self) -> bool:
        """Return whether every caller has an answer that it can use, and memory stayed small."""
        told = all(
            one.status == 200 or (one.status in REFUSED and one.has_header(b"retry-after"))
            for one in self.callers
        )
        return told and self.grown_mib <= GOAL_MIB

    def __str__(self) -> str:
        refusals, health = self.refusals, sorted(self.health)
        outcomes = ", ".join(f"{count} x {name}" for name, count in self.outcomes.most_common())
        return "\n".join(
            [
                f"{len(self.callers)} requests in {self.seconds:.1f} s: {outcomes}",
                f"refused after {_percentiles(refusals)}",
                f"/hc answered after {_percentiles(health)}",
                f"server: {self.before / MIB:.0f} MiB before, {self.peak / MIB:.0f} MiB at most, "
                f"{self.after / MIB:.0f} MiB {IDLE_S:g} s later: grew by {self.grown_mib:.0f} MiB, "
                f"goal {GOAL_MIB} {'met' if self.grown_mib <= GOAL_MIB else 'MISSED'}",
            ]
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 when every answer is of use and memory grows no further than the goal."""
    options = _parser().parse_args(arguments)
    _raise_descriptors(options.requests + DESCRIPTORS)
    os.environ.setdefault("MAX_MEMORY_MB", f"{options.memory_mb:g}")
    setup = Setup(PACED, DEMO_MODEL, "cpu", "float32")
    body = recordings.wav(recordings.made_up(options.seconds))
    head = f"POST /asr?language=en HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with running_server(setup) as server:
        burst = measured(server.url, server.process.pid, head.encode() + body, options.requests)
    print(burst)
    return int(not burst.is_good)


def measured(url: str, pid: int, request: bytes, count: int) -> Burst:
    """Send `request` from `count` connections at once, while another process probes `/hc`."""
    port = urlsplit(url).port or 80
    with _probes(port) as latencies:
        reset_peak(pid)
        before, started = resident_bytes(pid), time.monotonic()
        burst = Burst(send(port, request, count), before)
        burst.seconds = time.monotonic() - started
        burst.peak = peak_bytes(pid)
        time.sleep(IDLE_S)
        burst.after = resident_bytes(pid)
    burst.health = latencies
    return burst


def send(port: int, request: bytes, count: int) -> list[Caller]:
    """Open all connections at once, send what each takes, and wait for all answers."""
    callers = [Caller(_connecting(port), memoryview(request)) for _ in range(count)]
    with selectors.DefaultSelector() as ready:
        for caller in callers:
            ready.register(caller.link, selectors.EVENT_READ | selectors.EVENT_WRITE, caller)
        deadline = time.monotonic() + ANSWER_S
        while ready.get_map() and time.monotonic() < deadline:
            for key, events in ready.select(1.0):
                _advance(key.data, events, ready)
        for key in list(ready.get_map().values()):
            _finish(key.data, ready, "unanswered")
    return callers


def _connecting(port: int) -> socket.socket:
    link = socket.socket()
    link.setblocking(False)
    link.connect_ex(("127.0.0.1", port))
    return link


def _advance(caller: Caller, events: int, ready: selectors.BaseSelector) -> None:
    """Send and read what is possible now."""
    try:
        if events & selectors.EVENT_WRITE:
            _send_more(caller)
            if not caller.unsent:
                ready.modify(caller.link, selectors.EVENT_READ, caller)
        if events & selectors.EVENT_READ:
            data = caller.link.recv(2**16)
            caller.seconds = caller.seconds or time.monotonic() - caller.began
            caller.received += data
            if not data or caller.is_answered:
                _finish(caller, ready, "" if caller.is_answered else "closed without an answer")
    except OSError as error:
        _finish(caller, ready, "" if caller.is_answered else type(error).__name__)


def _send_more(caller: Caller) -> None:
    caller.began = caller.began or time.monotonic()
    try:
        caller.unsent = caller.unsent[caller.link.send(caller.unsent) :]
    except (BrokenPipeError, ConnectionResetError):  # the answer may be there already
        caller.unsent = memoryview(b"")


def _finish(caller: Caller, ready: selectors.BaseSelector, failure: str) -> None:
    caller.failure = failure
    ready.unregister(caller.link)
    caller.link.close()


@contextlib.contextmanager
def _probes(port: int) -> Iterator[list[float]]:
    """Probe the health check from another process; its latencies are there after the block."""
    latencies: list[float] = []
    spawned = multiprocessing.get_context("spawn")
    ours, theirs = spawned.Pipe()
    is_over = spawned.Event()
    process = spawned.Process(target=_probe, args=(port, is_over, theirs))
    process.start()
    theirs.close()  # else its end would not be seen
    ours.recv()  # it has begun
    try:
        yield latencies
    finally:
        is_over.set()
        latencies += ours.recv()
        process.join()


def _probe(port: int, is_over: Event, results: Connection) -> None:
    latencies: list[float] = []
    results.send("begun")
    while not is_over.wait(PROBE_S):
        began = time.monotonic()
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.suppress(OSError, HTTPException), contextlib.closing(connection):
            connection.request("GET", "/hc")
            connection.getresponse().read()
        latencies.append(time.monotonic() - began)
    results.send(latencies)


def _percentiles(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    at = {name: seconds[int(share * (len(seconds) - 1))] for name, share in PERCENTILES.items()}
    return ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in at.items())


def _raise_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmark.load.burst", description=__doc__)
    add = parser.add_argument
    add("--requests", type=int, default=10_000, help="sent at once (%(default)d)")
    add("--seconds", type=int, default=3, help="length of the clip in each (%(default)d)")
    add("--memory-mb", type=float, default=150, help="MAX_MEMORY_MB, unless set (%(default)g)")
    return parser


PERCENTILES = {"p50": 0.5, "p99": 0.99, "max": 1.0}

if __name__ == "__main__":
    sys.exit(main())
