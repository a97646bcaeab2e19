"""Measure how a server takes what nobody means well: files, requests, addresses, clients."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from benchmark.paths import ROOT
from benchmark.reliability import bombs, namespace, rejects, suites
from benchmark.reliability.connections import until_closed
from benchmark.reliability.observed import Observed
from benchmark.reliability.server import ServerProcess
from benchmark.reliability.verdict import Verdict, at_most, reported, unmeasured

CONTRACT = (
    "tests/behaviour/test_openai_client.py",
    "tests/behaviour/test_published_clients.py",
    "tests/behaviour/test_every_format.py",
    "tests/behaviour/test_same_words.py",
)
CORPUS = ("tests/behaviour/test_bad_input.py", "tests/behaviour/test_containers.py")
FUZZ = ("tests/behaviour/test_fuzz.py", "tests/behaviour/test_slow_uploads.py")
ADDRESSES = (
    "tests/outbound",
    "tests/behaviour/test_private_addresses.py",
    "tests/behaviour/test_paths.py",
    "tests/hardening/test_rebinding.py",
)
LONGEST_S = 10.0  # No file of the corpus takes more than so many seconds.
BOMB_S = 2.0  # A bomb is refused within so many seconds, or read within bounds.
EXTRA_MIB = 256.0  # A request may cost so many MiB at its peak.
AUDIO_S = "3600"  # The server that is bombed takes so many seconds of audio.
BODY_S = "5"  # Slow uploads have so many seconds at the server that they come to.
SLOW = 200  # So many connections send only the start of a request.
CLOSED_S = 40.0  # Each is closed within so many seconds: 30 of aiohttp's for a head, and some.
REJECTS, WARM_UP = 100, 30  # So many requests are refused, after others that are not measured.
REJECT_MIB = 1.0  # The server may grow by so many MiB meanwhile.
STARTS = (
    b"",
    b"POST /asr HTT",
    b"POST /asr HTTP/1.1\r\nHost: x\r\nX: ",
    b"POST /asr HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nRIFF",
    b"POST /asr HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nRIFF\r\n",
)


def contract(_: Path) -> list[Verdict]:
    """Run the tests of OpenAI's API, and the table of all clients."""
    tested = suites.run(CONTRACT)
    table = subprocess.run(
        [sys.executable, "-m", "tests.clients"], cwd=ROOT, capture_output=True, text=True
    )
    last = (table.stdout.strip() or table.stderr.strip() or "nothing").splitlines()[-1]
    figure = f"exit code {table.returncode}: {without_count(last)}"
    return [
        _tested("official SDK, formats, streams", tested),
        Verdict("`make clients`", figure[:200], "exit code 0", table.returncode == 0),
    ]


def without_count(last: str) -> str:
    """The last line of the clients' table without the number of its cells, which soon is old."""
    return last.partition(" cells, ")[2] or last


def unpacking(folder: Path) -> list[Verdict]:
    """Send Opus of eight hours three times at once, the worst FLAC, and gzip of zeros."""
    zipped = {"Content-Encoding": "gzip", "Content-Type": "audio/wav"}
    rows = []
    with ServerProcess(folder, {"MAX_AUDIO_SECONDS": AUDIO_S}) as server:
        for name, sent in (
            ("25 MiB of Opus at 6 kbit/s, three at once", bombs.send(server, [bombs.opus()] * 3)),
            ("FLAC of 655,350 Hz with 8 channels", bombs.send(server, [bombs.flac()])),
            ("gzip, 512 MiB unpacked", bombs.send(server, [bombs.zipped()], zipped)),
        ):
            rows += _exploded(name, sent)
        left = Observed(server).until_idle()
        rows.append(at_most("idle again", left, BOMB_S, "s"))
    return rows


def _exploded(name: str, sent: bombs.Exploded) -> list[Verdict]:
    statuses = ", ".join(map(str, sent.statuses))
    is_refused = set(sent.statuses) <= {200, 400, 413, 415}
    bounded = f"4xx in ≤ {BOMB_S:g} s, or ≤ {EXTRA_MIB:g} MiB extra each"
    figure = f"{statuses} in {sent.seconds:.1f} s, {sent.extra_mib:.0f} MiB extra each"
    return [Verdict(name, figure, bounded, is_refused and sent.extra_mib <= EXTRA_MIB)]


def corpus(_: Path) -> list[Verdict]:
    """Run the tests over all broken and odd files."""
    tested = suites.run(CORPUS)
    return [
        _tested("broken and odd files: 2xx or 4xx with JSON", tested),
        at_most("longest", tested.longest_s, LONGEST_S, "s"),
    ]


def fuzz(folder: Path) -> list[Verdict]:
    """Run the fuzzing tests, open slow connections, and count the growth by refusals."""
    rows = [_tested("methods, routes, broken HTTP, slow uploads", suites.run(FUZZ))]
    with ServerProcess(folder, {"BODY_TIMEOUT_S": BODY_S}) as server:
        starts = [STARTS[number % len(STARTS)] for number in range(SLOW)]
        closed = asyncio.run(until_closed(server.port, starts, 2 * CLOSED_S))
        left = sum(seconds is None for seconds in closed)
        slowest = max((seconds for seconds in closed if seconds is not None), default=0.0)
        rows.append(at_most(f"still open of {SLOW} slow connections", left, 0))
        rows.append(at_most("the slowest is closed after", slowest, CLOSED_S, "s"))
        request = rejects.one_byte_chunks()
        grown, statuses = rejects.growth(Observed(server), request, WARM_UP, REJECTS)
        name = f"growth in {REJECTS} refusals of {rejects.CHUNKS:,} one-byte chunks"
        rows.append(at_most(name, grown, REJECT_MIB, "MiB"))
        rows.append(reported("their statuses", ", ".join(map(str, sorted(statuses)))))
    return rows


def addresses(_: Path) -> list[Verdict]:
    """Run the tests of URLs and paths, with real rebinding in a namespace."""
    rows = [_tested("URLs, redirects, rebinding, paths", suites.run(ADDRESSES))]
    if (reason := namespace.why_not()) is not None:
        rows.append(unmeasured("rebinding by a real DNS server", "refused", reason))
    return rows


def _tested(name: str, tested: suites.Tested) -> Verdict:
    return Verdict(name, tested.figure, "0 fail", tested.failed == 0 and tested.passed > 0)
