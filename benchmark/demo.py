"""Start the server with the embedded model and let it transcribe the shipped samples."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmark.local_server import KEYS, NotReady, free_port, stop, wait_until_ready
from benchmark.paths import ROOT, SAMPLES

SERVER = (sys.executable, str(ROOT / "server.py"))  # This command starts the server.
START_S = 180.0  # A server that is not ready after so many seconds has failed.
ANSWER_S = 300.0  # A request that is not answered within so many seconds has failed.
GROSSLY_WRONG = 0.3  # The demo fails when more than this share of all words is wrong.
NO_SETTINGS: Mapping[str, str] = {}


class DemoFailed(Exception):
    """The server did not start or did not answer."""


@dataclass(frozen=True)
class Sample:
    """Pairs a shipped recording with its language and the text spoken in it."""

    audio: Path
    language: str
    text: str


@dataclass(frozen=True)
class TranscribedSample:
    """Pairs a sample with the text that the server wrote, and counts the errors."""

    sample: Sample
    text: str
    seconds: float  # of audio
    realtime_factor: float
    wrong: int  # words that differ from the reference
    words: int  # of the reference


def main(samples: Path = SAMPLES, server: Sequence[str] = SERVER) -> int:
    """Transcribe the samples; return exit code 0 unless far too many words are wrong."""
    transcribed: list[TranscribedSample] = []
    try:
        listed = read_samples(samples)
        print("starting the server ...\n", flush=True)
        with running_server(server) as port:
            for sample in listed:
                transcribed.append(transcribe(port, sample))
                print(described(transcribed[-1]), flush=True)
    except DemoFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(summary(transcribed))
    return int(is_grossly_wrong(transcribed))


@contextlib.contextmanager
def running_server(
    command: Sequence[str], others: Mapping[str, str] = NO_SETTINGS
) -> Iterator[int]:
    """Run a server on this machine and yield its port.

    Args:
        command: starts the server.
        others: settings besides those of the environment.
    """
    port = free_port()
    defaults = {"MODEL_ID": "demo", "CACHE_DIR": str(ROOT / ".cache")}
    settings = {"HOST": "127.0.0.1", "PORT": str(port)}
    environment = {**defaults, **os.environ, **others, **settings}
    for name in KEYS:  # nobody else reaches it, and the caller here sends none
        environment.pop(name, None)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(process, port, START_S)
            yield port
        except (OSError, HTTPException, NotReady, DemoFailed) as error:
            log.seek(0)
            written = log.read().decode(errors="replace")
            raise DemoFailed(f"{written}\nthe demo failed: {error}") from error
        finally:
            stop(process)


def read_samples(folder: Path) -> list[Sample]:
    """Return the recordings in `folder` that its `samples.json` lists.

    Raises:
        DemoFailed: there is no list.
    """
    listed = folder / "samples.json"
    if not listed.exists():
        raise DemoFailed(f"there are no samples: {listed} is missing")
    entries = json.loads(listed.read_text(encoding="utf-8"))
    return [Sample(folder / entry["file"], entry["language"], entry["text"]) for entry in entries]


def transcribe(port: int, sample: Sample) -> TranscribedSample:
    """Send one recording to `/asr` of the server on this machine.

    Raises:
        DemoFailed: the answer is not a transcript.
    """
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)) as connection:
        connection.request("POST", "/asr", sample.audio.read_bytes())
        reply = connection.getresponse()
        body = reply.read().decode()
    if reply.status != 200:
        raise DemoFailed(f"{sample.audio.name} was answered {reply.status}: {body}")
    text = json.loads(body)["text"].strip()
    return TranscribedSample(
        sample,
        text,
        float(reply.headers["X-Audio-Length"]),
        float(reply.headers["X-Realtime-Factor"]),
        words_wrong(sample.text, text),
        len(plain_words(sample.text)),
    )


def described(transcribed: TranscribedSample) -> str:
    sample = transcribed.sample
    return (
        f"{sample.audio.name}  {transcribed.seconds:.1f} s  {sample.language}  "
        f"{transcribed.realtime_factor:.1f} x real time  "
        f"{transcribed.wrong} of {transcribed.words} words wrong\n"
        f"  said   {sample.text.strip()}\n"
        f"  wrote  {transcribed.text or '(nothing)'}\n"
    )


def summary(transcribed: Sequence[TranscribedSample]) -> str:
    seconds = sum(one.seconds for one in transcribed)
    spent = sum(one.seconds / one.realtime_factor for one in transcribed)
    wrong, words = _totals(transcribed)
    verdict = ", which is far too many" if is_grossly_wrong(transcribed) else ""
    return (
        f"{len(transcribed)} samples, {seconds:.1f} s: {wrong} of {words} words wrong{verdict}; "
        f"realtime factor {seconds / spent if spent else 0:.1f}\n"
        "'make serve' keeps the server running: http://localhost:8000/docs"
    )


def is_grossly_wrong(transcribed: Sequence[TranscribedSample]) -> bool:
    wrong, words = _totals(transcribed)
    return wrong > GROSSLY_WRONG * words


def words_wrong(reference: str, written: str) -> int:
    """Count the words to replace, insert or delete, without case and punctuation (Levenshtein)."""
    said, got = plain_words(reference), plain_words(written)
    row = list(range(len(got) + 1))  # distances from the words said so far to each start of `got`
    for word in said:
        before, row = row, [row[0] + 1]
        for place, other in enumerate(got):
            row.append(min(before[place] + (word != other), before[place + 1] + 1, row[-1] + 1))
    return row[-1]


def plain_words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _totals(transcribed: Sequence[TranscribedSample]) -> tuple[int, int]:
    return sum(one.wrong for one in transcribed), sum(one.words for one in transcribed)


if __name__ == "__main__":
    sys.exit(main())
