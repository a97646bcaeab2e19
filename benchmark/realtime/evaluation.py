"""Measures live text: when it comes, that it stays, and how many may speak at once."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmark.accuracy.corpus import normaliser
from benchmark.demo import SERVER, DemoFailed, running_server
from benchmark.provenance import commit, processor
from benchmark.realtime import jobs, ramp
from benchmark.realtime.client import Played, play
from benchmark.realtime.figures import Latency, Texts, single, texts
from benchmark.realtime.jobs import NoJobs
from benchmark.realtime.speech import Speech, read

TRANSCRIPTIONS = "/v1/audio/transcriptions"
ALONE, BESIDE = "sessions alone", "sessions beside jobs"


class NoText(Exception):
    """The server did not transcribe a whole file."""


@dataclass
class Found:
    """Holds everything that was measured."""

    latency: Latency
    texts: Texts
    alone: list[ramp.Rung] = field(default_factory=list)
    beside: list[ramp.Rung] = field(default_factory=list)
    jobs_pace: float | None = None  # seconds of audio that jobs had done in a second

    @property
    def is_sound(self) -> bool:
        """Whether no word was taken back, and nothing failed that was alone."""
        return not self.latency.taken_back and not self.latency.failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 when no word was taken back and no session failed that was alone."""
    options = _parser().parse_args(arguments)
    try:
        speeches = read(options.folder, options.most)
        with _server(options) as url:
            found = asyncio.run(_measured(url, speeches, options))
    except (DemoFailed, NoJobs, NoText, ValueError, aiohttp.ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.json is not None:
        options.json.write_text(json.dumps(_written(found, options), indent=1) + "\n")
    return int(not found.is_sound)


@contextlib.contextmanager
def _server(options: argparse.Namespace) -> Iterator[str]:
    """Yield the URL of the server that was named, or of one that is started here."""
    if options.url is not None:
        yield options.url
        return
    with tempfile.TemporaryDirectory() as directory:
        settings = {"JOBS_DIR": directory, "MAX_LIVE_SESSIONS": str(ramp.MOST_SESSIONS)}
        settings |= {"LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING")}
        if options.model is not None:
            settings["MODEL_ID"] = options.model
        with running_server(SERVER, settings) as port:
            yield f"http://127.0.0.1:{port}"


async def _measured(url: str, speeches: Sequence[Speech], options: argparse.Namespace) -> Found:
    """Measure and print one table after the other."""
    async with _client(url, options.api_key) as client:
        await play(client, speeches[:1], options.language)  # to warm up
        batch = [await _batch(client, speech, options.language) for speech in speeches]
        played: list[Played] = []
        for speech in speeches:
            played += await play(client, [speech], options.language, is_alone=True)
        latency = Latency.of(played)
        found = Found(latency, texts(played, batch, normaliser(options.language)))
        print(_about(options, speeches), single(latency, found.texts), sep="\n\n", flush=True)
        for failure in latency.failures:
            print(f"FAILED: {failure}", flush=True)
        if options.sessions != []:
            found.alone = await _climbed(client, ALONE, speeches, options)
        if options.sessions != [] and options.jobs:
            async with jobs.running(client, options.jobs) as pace:
                found.beside = await _climbed(client, BESIDE, speeches, options)
                found.jobs_pace = await pace()
            print(f"jobs meanwhile: {found.jobs_pace:.1f} x real time", flush=True)
    return found


@contextlib.asynccontextmanager
async def _client(url: str, key: str | None) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        url, headers=headers, connector=connector, timeout=timeout
    ) as client:
        yield client


async def _batch(client: aiohttp.ClientSession, speech: Speech, language: str | None) -> str:
    """Return the text of the whole file.

    Raises:
        NoText: the server does not give it.
    """
    form = aiohttp.FormData({"model": "whisper-1", **({"language": language} if language else {})})
    form.add_field("file", speech.audio.read_bytes(), filename=speech.audio.name)
    async with client.post(TRANSCRIPTIONS, data=form) as answer:
        if answer.status != 200:
            raise NoText(f"{speech.audio.name} was answered {answer.status}: {await answer.text()}")
        return str((await answer.json())["text"])


async def _climbed(
    client: aiohttp.ClientSession,
    name: str,
    speeches: Sequence[Speech],
    options: argparse.Namespace,
) -> list[ramp.Rung]:
    rungs: list[ramp.Rung] = []
    counts = ramp.doubled() if options.sessions is None else iter(options.sessions)
    climbing = ramp.climb(client, speeches, counts, options.seconds, options.language)
    async for rung in climbing:
        rungs.append(rung)
        said = f"{name}: {rung.sessions}, p95 {rung.lag:.2f} s"
        print(said, file=sys.stderr, flush=True)
    print("\n" + ramp.table(name, rungs), flush=True)
    return rungs


def _about(options: argparse.Namespace, speeches: Sequence[Speech]) -> str:
    model = options.model or os.environ.get("MODEL_ID", "demo")
    seconds = sum(speech.seconds for speech in speeches)
    where = options.url or model
    return f"{where}, {len(speeches)} recordings, {seconds:.0f} s; commit {commit()}; {processor()}"


def _written(found: Found, options: argparse.Namespace) -> dict[str, Any]:
    about = {"commit": commit(), "processor": processor(), "url": options.url}
    held = {"held_alone": ramp.held(found.alone), "held_beside_jobs": ramp.held(found.beside)}
    return {**about, "model": options.model, **held, **asdict(found)}


def _counts(text: str) -> list[int]:
    return [int(one) for one in text.split(",") if one.strip()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python benchmark/live.py", description=__doc__)
    add = parser.add_argument
    add("--url", help="a running server, whose MAX_LIVE_SESSIONS holds (one of our own)")
    add("--api-key", default=os.environ.get("ASR_API_KEY"), help="its key (ASR_API_KEY)")
    add("--model", help="MODEL_ID of the server that is started (MODEL_ID, or the demo model)")
    add(
        "--folder", type=Path, metavar="DIR",
        help="recordings with their texts, as for benchmark.accuracy (the demo model's samples)",
    )  # fmt: skip
    add("--most", type=int, default=10, help="recordings of it (%(default)d)")
    add("--language", help="of all recordings (it is detected)")
    add(
        "--sessions", type=_counts, metavar="1,2,4",
        help="sessions at once; '' for none (1, 2, 4 and so on until they are not held)",
    )  # fmt: skip
    add("--seconds", type=float, default=30.0, help="speech of each at once (%(default)g)")
    add("--jobs", type=int, default=10, help="jobs of 20 minutes beside them (%(default)d)")
    add("--json", type=Path, metavar="OUT", help="write everything to this file too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
