"""Transcribe a folder's samples on a server, and by faster-whisper on the same weights."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmark.accuracy.client import Server, TranscriptionFailed
from benchmark.accuracy.speech_folder import CLIPS, RECORDINGS, SOUNDS, TRIALS, Sample
from benchmark.engine_comparison import environments
from benchmark.engine_comparison.contender import ENTRIES, CannotRun
from benchmark.paths import CACHE, ROOT

FASTER_WHISPER = "faster-whisper"
SPEECH = (RECORDINGS, CLIPS)
STOP_S = 30.0  # A process that has not ended after so many seconds is killed.


@dataclass(frozen=True)
class Written:
    """Holds what a contender wrote for one sample, and the language that it detected."""

    text: str
    detected: str | None = None
    first_s: float | None = None  # seconds until the first words came, where it streams
    whole_s: float | None = None
    failure: str | None = None


class Contender(Protocol):
    """Transcribes samples one by one, or several at once from threads."""

    @property
    def name(self) -> str: ...

    @property
    def at_once(self) -> int: ...

    @property
    def trials(self) -> tuple[str, ...]: ...

    def transcribe(self, sample: Sample) -> Written:
        """Return what is written; a failure is written down, not raised."""
        ...


@dataclass(frozen=True)
class Ours:
    """Sends samples to a server; recordings are streamed, for the time of the first words."""

    server: Server
    at_once: int
    name: str = "ours"
    trials: tuple[str, ...] = TRIALS
    detects: bool = True  # the language, by a request of its own

    def transcribe(self, sample: Sample) -> Written:
        try:
            if not sample.language:
                return Written(self.server.transcribe(sample.audio).text)
            detected = self.server.detect(sample.audio) if self.detects else None
            if sample.trial == CLIPS:
                text = self.server.transcribe(sample.audio, language=sample.language).text
                return Written(text, detected)
            streamed = self.server.stream(sample.audio, sample.language)
            return Written(streamed.text, detected, streamed.first_s, streamed.whole_s)
        except TranscriptionFailed as failure:
            return Written("", failure=str(failure))


@dataclass(frozen=True)
class Rival:
    """Names one way in which faster-whisper transcribes."""

    name: str
    beams: int
    batched: bool = False
    vad: bool = False  # before a sequential transcription; the batched one always has it
    trials: tuple[str, ...] = TRIALS


# The one that our goals name comes first.
RIVALS = (
    Rival("sequential, 1 beam", 1),
    Rival("batched, 1 beam", 1, batched=True),
    Rival("sequential, 5 beams", 5),
    Rival("batched, 5 beams", 5, batched=True),
    Rival("sequential, 1 beam, VAD", 1, vad=True, trials=(SOUNDS,)),
)


def faster_whisper_python(given: Mapping[str, str]) -> str:
    """Return a Python that has faster-whisper.

    Raises:
        CannotRun: it is not installed.
    """
    entry = next(one for one in ENTRIES if one.name == FASTER_WHISPER)
    return environments.program(entry, given)


class FasterWhisper:
    """Transcribes in a process of its own, and keeps what was written between runs."""

    at_once = 1

    def __init__(self, rival: Rival, model: str, process: subprocess.Popen[str]) -> None:
        self.name = rival.name
        self.trials = rival.trials
        self._process = process
        self._kept = Kept(_kept_file(rival, model, self._read()["versions"]))

    def transcribe(self, sample: Sample) -> Written:
        key = _key(sample)
        if (known := self._kept.written.get(key)) is not None:
            return known
        written = Written(**self._asked(sample))
        if written.failure is None:
            self._kept.keep(key, written)
        return written

    def _asked(self, sample: Sample) -> dict[str, Any]:
        assert self._process.stdin is not None
        request = {"audio": str(sample.audio.absolute()), "language": sample.language or None}
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise CannotRun("the process of faster-whisper has ended") from error
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CannotRun("the process of faster-whisper has ended, its reason is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def faster_whisper(rival: Rival, model: str, python: str) -> Iterator[FasterWhisper]:
    """Run one of the rivals on the weights of `model`.

    Raises:
        CannotRun: it does not load, or its process has ended.
    """
    order = {**asdict(rival), "model": model, "converted": str(CACHE / "converted")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [python, "-m", "benchmark.accuracy.faster_whisper_worker", json.dumps(order)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield FasterWhisper(rival, model, process)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.close()
        process.wait(STOP_S)
    except (OSError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()
    process.stdout.close()


class Kept:
    """Keeps what a rival wrote in a file, because it does not change with our code."""

    def __init__(self, file: Path) -> None:
        self._file = file
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.written = {key: Written(**fields) for key, fields in map(json.loads, lines)}

    def keep(self, key: str, written: Written) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, asdict(written)], ensure_ascii=False) + "\n")


def _key(sample: Sample) -> str:
    return f"{hashlib.sha256(sample.audio.read_bytes()).hexdigest()} {sample.language}"


def _kept_file(rival: Rival, model: str, versions: Mapping[str, str]) -> Path:
    weights = Path(model) / "model.bin"
    stamp = [weights.stat().st_size, weights.stat().st_mtime] if weights.exists() else []
    about = json.dumps([asdict(rival), model, stamp, dict(versions)], sort_keys=True)
    name = rival.name.replace(",", "").replace(" ", "-")
    return CACHE / "accuracy" / f"{name}-{hashlib.sha256(about.encode()).hexdigest()[:12]}.jsonl"
