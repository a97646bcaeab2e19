"""Measures when curl prints the first and the last words of a long file that is streamed."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    from benchmark import missing_packages

    missing_packages.explain()

from benchmark.demo import SERVER, DemoFailed, running_server
from benchmark.tables import aligned
from models.demo import synthesise

GOAL = 0.03  # The first words may take this share of the whole time.
# Fields are sent in these orders; audio that comes last is transcribed while it is sent.
ORDERS = (("file", "stream"), ("stream", "file"))


@dataclass(frozen=True)
class Streamed:
    """Counts the seconds from the start of curl."""

    first: float  # until the first delta
    whole: float  # until the last event
    deltas: int
    words: int

    @property
    def share(self) -> float:
        return self.first / self.whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 when the first words come early in both orders."""
    options = _parser().parse_args(arguments)
    if shutil.which("curl") is None:
        print("there is no curl here: apt-get install curl", file=sys.stderr)
        return 1
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        audio = options.audio or _made(folder, options.minutes)
        try:
            url = (
                options.server or f"http://127.0.0.1:{stack.enter_context(running_server(SERVER))}"
            )
            streamed = measured(url, audio, options.rounds)
        except DemoFailed as error:
            print(error, file=sys.stderr)
            return 1
    print(table(streamed))
    return int(any(one.share > GOAL for one in streamed.values()))


def measured(url: str, audio: Path, rounds: int) -> dict[str, Streamed]:
    """Return each order's median round by share; the orders take turns."""
    stream(url, audio, ORDERS[-1])  # to warm up
    every = [{name(order): stream(url, audio, order) for order in ORDERS} for _ in range(rounds)]
    return {
        name(order): sorted((one[name(order)] for one in every), key=lambda s: s.share)[rounds // 2]
        for order in ORDERS
    }


def name(order: Sequence[str]) -> str:
    return " ".join(f"-F {field}={'@…' if field == 'file' else 'true'}" for field in order)


def _made(folder: Path, minutes: float) -> Path:
    audio = folder / "speech.flac"
    synthesise.write(synthesise.recording(60 * minutes, "en", seed=20, voices=3), audio)
    return audio


def stream(url: str, audio: Path, fields: Sequence[str]) -> Streamed:
    """Let curl send `audio` in a form of `fields`, and time what it prints.

    Raises:
        DemoFailed: there is no stream, or it breaks off.
    """
    values = {"file": f"file=@{audio}", "stream": "stream=true"}
    command = ["curl", "-sN", f"{url}/v1/audio/transcriptions"]
    for field in fields:
        command += ["-F", values[field]]
    started, first, deltas = time.monotonic(), 0.0, 0
    event: dict[str, object] = {"type": "nothing"}
    with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        for event in _events(curl.stdout):
            if event["type"] == "transcript.text.delta":
                first = first or time.monotonic() - started
                deltas += 1
    if event["type"] != "transcript.text.done":
        raise DemoFailed(f"the stream ended with {event}")
    return Streamed(first, time.monotonic() - started, deltas, len(str(event["text"]).split()))


def _events(lines: Iterable[bytes]) -> Iterator[dict[str, object]]:
    for line in lines:
        if line.startswith(b"{"):
            raise DemoFailed(line.decode())
        if line.startswith(b"data: "):
            event = json.loads(line.removeprefix(b"data: "))
            yield event if "type" in event else {"type": "error", **event}


def table(streamed: Mapping[str, Streamed]) -> str:
    rows = [
        ("curl -N", "first words, s", "whole, s", "share, %", f"goal {100 * GOAL:g} %", "deltas")
    ]
    for order, one in streamed.items():
        verdict = "met" if one.share <= GOAL else "MISSED"
        share = f"{100 * one.share:.1f}"
        rows.append(
            (order, f"{one.first:.2f}", f"{one.whole:.2f}", share, verdict, str(one.deltas))
        )
    return "\n".join(aligned(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmark.load.first_words", description=__doc__)
    add = parser.add_argument
    add("--server", metavar="URL", help="a running server (one of our own)")
    add("--audio", type=Path, help="a file (unset: speech of the demo model's synthesiser)")
    add("--minutes", type=float, default=20.0, help="length of that speech (%(default)g)")
    add("--rounds", type=int, default=3, help="rounds, after one to warm up (%(default)d)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
