"""Measure what other callers lose while an hour is diarized.

They stream short clips, one after the other, while the server works on the hour in one of four
ways, round by round. Beside its text alone the hour takes more of the engine than beside its
text and speakers, because its text waits for its speakers; so "speakers alone" judges harder.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import soundfile

if __name__ == "__main__":
    from benchmark import missing_packages

    missing_packages.explain()

from asr.pcm import SAMPLE_RATE
from benchmark.demo import SERVER, DemoFailed, running_server
from benchmark.engine_comparison.goals import Goal
from benchmark.tables import aligned
from models.demo import synthesise

CLIP_SECONDS = 3.0  # A caller sends clips of so many seconds.
SETTLE_SECONDS = 2.0  # The hour has been worked on for so long when the clips begin.
MOST_LOST = 0.1  # Others may have so much less throughput, and later first words by so much.
DIARIZER = re.compile(r"^asr_diarization_seconds_total (\S+)$", re.MULTILINE)
DIARIZED = re.compile(r"^asr_diarized_audio_seconds_total (\S+)$", re.MULTILINE)
TRANSCRIPTIONS = "/v1/audio/transcriptions"
TALK = "talk.wav"  # The hour lies in this file, in the server's AUDIO_ROOT.


@dataclass(frozen=True)
class Way:
    """Names one way of working on the hour."""

    name: str
    route: str = ""  # empty: nobody sends it
    fields: Mapping[str, str] = field(default_factory=dict)


ALONE = Way("alone")
SPEAKERS = Way("speakers alone", "/v1/audio/speakers")
# Words have times in the text with speakers, so that they have times in the other one, too.
TEXT = Way(
    "text",
    TRANSCRIPTIONS,
    {"response_format": "verbose_json", "timestamp_granularities[]": "word"},
)
BOTH = Way("text and speakers", TRANSCRIPTIONS, {"response_format": "diarized_json"})
WAYS = (ALONE, SPEAKERS, TEXT, BOTH)
PAIRS = ((SPEAKERS, ALONE), (BOTH, TEXT))  # The first is compared with the second.


@dataclass
class Measured:
    """Collects what other callers had, and what the diarizer did meanwhile."""

    seconds: float = 0.0
    clips: int = 0
    firsts: list[float] = field(default_factory=list)  # seconds to the first words of each clip
    computed: float = 0.0  # seconds of processor time of the diarizer
    diarized: float = 0.0  # seconds of audio

    @property
    def throughput(self) -> float:
        """Clips per second."""
        return self.clips / max(self.seconds, 1e-9)

    @property
    def first(self) -> float:
        """The median of the time to the first words, in seconds."""
        return statistics.median(self.firsts) if self.firsts else float("inf")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 where others lose no more than a tenth."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        clip = made(Path(folder), options.minutes)
        settings = {"AUDIO_ROOT": folder, "LOG_LEVEL": "WARNING", "DIARIZER_PRELOAD": "1"}
        try:
            with running_server(SERVER, settings) as port:
                url = f"http://127.0.0.1:{port}"
                found = asyncio.run(measured(url, clip, options))
        except DemoFailed as error:
            print(error, file=sys.stderr)
            return 1
    print(f"{options.callers} callers, clips of {CLIP_SECONDS:g} s, {options.rounds} rounds of "
          f"{options.seconds:g} s\n")  # fmt: skip
    print(table(found))
    judged = [goal.judged() for goal in goals(found)]
    print("\n" + "\n".join(judged))
    return int(any(one.startswith("missed") for one in judged))


async def measured(
    url: str, clip: bytes, options: argparse.Namespace, ways: Sequence[Way] = WAYS
) -> dict[str, Measured]:
    """Measure each way in each round; every other round the last one comes first."""
    found = {way.name: Measured() for way in ways}
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(url, timeout=timeout) as session:
        await _callers(session, clip, options.callers, SETTLE_SECONDS, Measured())  # to warm up
        for number in range(options.rounds):
            for way in ways[:: -1 if number % 2 else 1]:
                async with _worked_on(session, way):
                    await _observed(session, clip, options, found[way.name])
                print(f"round {number + 1}, {way.name}", file=sys.stderr, flush=True)
    return found


@contextlib.asynccontextmanager
async def _worked_on(session: aiohttp.ClientSession, way: Way) -> AsyncIterator[None]:
    """Let the server work on the hour as long as the context is open.

    Raises:
        DemoFailed: it was answered meanwhile.
    """
    if not way.route:
        yield
        return
    hour = asyncio.create_task(_answered(session, way))
    await asyncio.sleep(SETTLE_SECONDS)
    yield
    if hour.done():
        raise DemoFailed(f"{way.name}: answered too soon: {hour.result()}")
    hour.cancel()  # who leaves is worked for no more
    await asyncio.gather(hour, return_exceptions=True)


async def _answered(session: aiohttp.ClientSession, way: Way) -> str:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in {"url": TALK, "model": "whisper-1", **way.fields}.items():
        form.add_field(name, value)
    async with session.post(way.route, data=form) as reply:
        return f"{reply.status} {(await reply.text())[:200]}"


async def _observed(
    session: aiohttp.ClientSession, clip: bytes, options: argparse.Namespace, into: Measured
) -> None:
    computed, diarized = await _diarizer(session)
    await _callers(session, clip, options.callers, options.seconds, into)
    after = await _diarizer(session)
    into.computed += after[0] - computed
    into.diarized += after[1] - diarized


async def _callers(
    session: aiohttp.ClientSession, clip: bytes, callers: int, seconds: float, into: Measured
) -> None:
    """Send clips for so many seconds; those in hand at the end are waited for and count."""
    started = time.monotonic()
    await asyncio.gather(*(_caller(session, clip, started + seconds, into) for _ in range(callers)))
    into.seconds += time.monotonic() - started


async def _caller(
    session: aiohttp.ClientSession, clip: bytes, until: float, into: Measured
) -> None:
    while time.monotonic() < until:
        into.firsts.append(await first_words(session, clip))
        into.clips += 1


async def first_words(session: aiohttp.ClientSession, clip: bytes) -> float:
    """Stream a clip to its end; return the seconds to its first words.

    Raises:
        DemoFailed: it has none, or an error.
    """
    form = aiohttp.FormData({"model": "whisper-1", "stream": "true", "language": "en"})
    form.add_field("file", clip, filename="clip.wav")
    started, first, event = time.monotonic(), None, ""
    async with session.post(TRANSCRIPTIONS, data=form) as reply:
        async for line in reply.content:
            if not line.startswith(b"data: "):
                continue
            event = json.loads(line.removeprefix(b"data: ")).get("type", line.decode())
            if event == "transcript.text.delta" and first is None:
                first = time.monotonic() - started
    if first is None or event != "transcript.text.done":
        raise DemoFailed(f"a clip was answered {reply.status}, and ended with {event!r}")
    return first


async def _diarizer(session: aiohttp.ClientSession) -> tuple[float, float]:
    """What the diarizer has done: seconds of processor time, and of audio."""
    async with session.get("/metrics") as reply:
        text = await reply.text()
    computed, diarized = DIARIZER.search(text), DIARIZED.search(text)
    if computed is None or diarized is None:
        raise DemoFailed("the server has no metrics of a diarizer")
    return float(computed[1]), float(diarized[1])


def table(found: Mapping[str, Measured]) -> str:
    rows = [
        ("an hour beside", "clips", "clips/s", "first words p50, s", "cores", "x real time")
    ]  # fmt: skip
    for name, one in found.items():
        rows.append(
            (
                name,
                str(one.clips),
                f"{one.throughput:.2f}",
                f"{one.first:.3f}",
                f"{one.computed / one.seconds:.3f}",
                f"{one.diarized / one.seconds:.2f}",
            )
        )
    return "\n".join(aligned(rows))


def goals(found: Mapping[str, Measured]) -> list[Goal]:
    judged = []
    for way, base in PAIRS:
        beside, before = found[way.name], found[base.name]
        text = f"{way.name} against {base.name}"
        ratio = beside.throughput / max(before.throughput, 1e-9)
        judged.append(Goal(f"throughput of others, {text}", 1 - MOST_LOST, ratio))
        later = beside.first / before.first
        judged.append(
            Goal(f"first words of others, {text}", 1 + MOST_LOST, later, "x", at_most=True)
        )
    return judged


def made(folder: Path, minutes: float) -> bytes:
    """Write two people's talk of so many minutes into a folder; return a clip of it."""
    talk = synthesise.recording(60.0, "en", seed=20, voices=2).samples
    with soundfile.SoundFile(folder / TALK, "w", SAMPLE_RATE, 1, "PCM_16") as file:
        for _ in range(max(1, round(minutes))):
            file.write(np.resize(talk, 60 * SAMPLE_RATE))
    clip = folder / "clip.wav"
    soundfile.write(clip, talk[: round(CLIP_SECONDS * SAMPLE_RATE)], SAMPLE_RATE)
    return clip.read_bytes()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmark.load.beside_diarization", description=__doc__
    )
    add = parser.add_argument
    add("--callers", type=int, default=2, help="who stream clips (%(default)d)")
    add("--rounds", type=int, default=4, help="of the four ways (%(default)d)")
    add("--seconds", type=float, default=14.0, help="of each way in each round (%(default)g)")
    add("--minutes", type=float, default=60.0, help="length of the hour (%(default)g)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
