"""Measures short clips beside long files: all answered, how soon, and the limit never passed."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import soundfile

if __name__ == "__main__":
    from benchmark import missing_packages

    missing_packages.explain()

from asr.pcm import SAMPLE_RATE, Samples
from benchmark.demo import SERVER, DemoFailed, running_server
from benchmark.tables import aligned
from models.demo import synthesise

CLIP_SECONDS = 3.0  # A clip lasts so many seconds.
GOAL = 3.0  # The clips' p95 may be so many times that beside one long file.
LOOK_S = 0.05  # The queue is looked at this often, in seconds.
FILL_S = 20.0  # Clips are sent when the long files have been running for so many seconds.
QUEUE = re.compile(r"^asr_queue_audio_seconds (\S+)$", re.MULTILINE)
CAPACITY = re.compile(r"^asr_engine_capacity_windows (\S+)$", re.MULTILINE)
WINDOWS_SECONDS = 16 * 30.0  # Without MAX_QUEUE_SECONDS so much may wait for each engine slot.


@dataclass
class Measured:
    """Holds what clips got beside so many long files."""

    files: int
    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # of clips that were answered 200
    highest: float = 0.0  # seconds of audio that waited at most
    limit: float = 0.0  # seconds of audio that may wait
    ended: int = 0  # long files that did not last until the end

    @property
    def p95(self) -> float:
        return float(np.percentile(self.seconds, 95)) if self.seconds else float("inf")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 when the goals are reached."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            clip = _made(Path(folder), options.hours)
            measured = [_beside(Path(folder), clip, files, options) for files in (1, options.files)]
        except DemoFailed as error:
            print(error, file=sys.stderr)
            return 1
    print(table(measured))
    return int(not reached(*measured))


def reached(alone: Measured, many: Measured) -> bool:
    """Whether all clips were answered, soon enough, and the limit was never passed."""
    return (
        all(status == 200 for each in (alone, many) for status in each.statuses)
        and many.p95 <= GOAL * alone.p95
        and many.highest <= many.limit
        and not many.ended
    )


def _beside(folder: Path, clip: bytes, files: int, options: argparse.Namespace) -> Measured:
    """Start a server, and send it clips while it transcribes `files` long files."""
    measured = Measured(files)
    with running_server(SERVER, {"AUDIO_ROOT": str(folder), "LOG_LEVEL": "WARNING"}) as port:
        url = f"http://127.0.0.1:{port}"
        asyncio.run(measure(url, clip, options.clips, options.callers, measured))
    return measured


async def measure(url: str, clip: bytes, clips: int, callers: int, measured: Measured) -> None:
    """Fill `measured` with the answers to `clips`, sent by so many callers."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as session:
        long = [asyncio.create_task(_long_file(session)) for _ in range(measured.files)]
        looks = asyncio.create_task(_look(session, measured))
        await asyncio.sleep(FILL_S)
        supply = iter(range(clips))
        await asyncio.gather(*(_call(session, clip, supply, measured) for _ in range(callers)))
        measured.ended = sum(each.done() for each in long)
        for task in (*long, looks):
            task.cancel()
        await asyncio.gather(*long, looks, return_exceptions=True)


async def _long_file(session: aiohttp.ClientSession) -> int:
    async with session.post("/asr", json={"url": "long.wav"}) as reply:
        await reply.read()
        return reply.status


async def _call(
    session: aiohttp.ClientSession, clip: bytes, supply: Iterator[int], measured: Measured
) -> None:
    for _ in supply:
        started = time.monotonic()
        async with session.post("/asr", data=clip) as reply:
            await reply.read()
        measured.statuses.append(reply.status)
        if reply.status == 200:
            measured.seconds.append(time.monotonic() - started)


async def _look(session: aiohttp.ClientSession, measured: Measured) -> None:
    """Note the highest queue that the server reports, again and again."""
    while True:
        async with session.get("/metrics") as reply:
            text = await reply.text()
        queue, capacity = QUEUE.search(text), CAPACITY.search(text)
        assert queue is not None
        assert capacity is not None
        measured.highest = max(measured.highest, float(queue[1]))
        measured.limit = WINDOWS_SECONDS * float(capacity[1])
        await asyncio.sleep(LOOK_S)


def _made(folder: Path, hours: float) -> bytes:
    """Write the long file, one sentence after the other; return a clip of them."""
    spoken = synthesise.recording(60.0, "en", seed=20, voices=3).samples
    path = folder / "long.wav"
    minutes = round(60 * hours)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as file:
        for _ in range(minutes):
            file.write(np.resize(spoken, 60 * SAMPLE_RATE))
    return _clip(folder, spoken)


def _clip(folder: Path, spoken: Samples) -> bytes:
    path = folder / "clip.wav"
    soundfile.write(path, spoken[: round(CLIP_SECONDS * SAMPLE_RATE)], SAMPLE_RATE)
    return path.read_bytes()


def table(measured: Sequence[Measured]) -> str:
    rows = [
        ("long files", "clips", "answers", "p50, s", "p95, s", "queue at most, s", "its limit, s")
    ]
    for each in measured:
        counts = ", ".join(
            f"{n} x {status}" for status, n in sorted(Counter(each.statuses).items())
        )
        median = float(np.median(each.seconds)) if each.seconds else float("inf")
        rows.append(
            (
                str(each.files),
                str(len(each.statuses)),
                counts,
                f"{median:.3f}",
                f"{each.p95:.3f}",
                f"{each.highest:.0f}",
                f"{each.limit:.0f}",
            )
        )
    alone, many = measured
    verdict = "met" if reached(alone, many) else "MISSED"
    ratio = many.p95 / alone.p95
    goal = f"p95 is {ratio:.2f} times that beside one file, goal {GOAL:g}: {verdict}"
    return "\n".join([*aligned(rows), goal])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmark.load.long_files", description=__doc__)
    add = parser.add_argument
    add("--files", type=int, default=10, help="long files at once (%(default)d)")
    add("--hours", type=float, default=3.0, help="length of each (%(default)g)")
    add("--clips", type=int, default=100, help="clips of three seconds (%(default)d)")
    add("--callers", type=int, default=1, help="callers that send them (%(default)d)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
