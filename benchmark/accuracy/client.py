"""Send recordings to a server and read text, times and coverage from its answers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests

from asr.pcm import SAMPLE_RATE, Samples
from benchmark.recordings import WINDOW_SECONDS, flac

ANSWER_SECONDS = 3600.0  # A request that is not answered within so many seconds has failed.
# A segment that ends at most so many seconds before its window does may go on behind it.
OPEN_SECONDS = 0.2


class TranscriptionFailed(Exception):
    """The server answered with an error, which the message quotes."""


@dataclass(frozen=True)
class Timed:
    """Holds the text of a segment or a word, and its times in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Transcription:
    """Holds the text, segments and words that a server wrote for one recording."""

    text: str
    segments: tuple[Timed, ...]
    words: tuple[Timed, ...] = ()  # empty unless they were requested
    coverage: float | None = None  # share of the speech, where the server measures it
    seconds: float = 0.0  # of audio


@dataclass(frozen=True)
class Server:
    """Transcribes recordings on a server that speaks OpenAI's API, ours or another."""

    url: str
    key: str | None = None
    language: str | None = None  # of all recordings; None: the server detects it

    def transcribe(self, audio: Samples | Path, words: bool = False) -> Transcription:
        """Send `audio`, 16 kHz mono samples or a file, and return its transcription.

        Raises:
            TranscriptionFailed: the answer is not a transcript.
        """
        data = audio.read_bytes() if isinstance(audio, Path) else flac(audio)
        fields: dict[str, str | list[str]] = {
            "model": "whisper-1",
            "response_format": "verbose_json",
        }
        if self.language:
            fields["language"] = self.language
        if words:
            fields["timestamp_granularities[]"] = ["segment", "word"]
        try:
            reply = requests.post(
                f"{self.url}/v1/audio/transcriptions",
                data=fields,
                files={"file": ("audio", data)},
                headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
                timeout=ANSWER_SECONDS,
            )
            if not reply.ok:
                raise TranscriptionFailed(f"{reply.status_code}: {reply.text[:300]}")
            body = reply.json()
        except requests.RequestException as error:
            raise TranscriptionFailed(str(error)) from error
        coverage = reply.headers.get("X-Speech-Coverage")
        return Transcription(
            body["text"],
            tuple(Timed(s["text"], s["start"], s["end"]) for s in body.get("segments") or ()),
            tuple(Timed(w["word"], w["start"], w["end"]) for w in body.get("words") or ()),
            None if coverage is None else float(coverage),
            float(body["duration"]),
        )

    def transcribe_all(self, recordings: Sequence[Samples], at_once: int) -> list[Transcription]:
        """Transcribe every recording, `at_once` of them at the same time."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(self.transcribe, recordings))

    def transcribe_window_by_window(self, samples: Samples) -> Transcription:
        """Transcribe 30 s windows, each from where the text of the last one ended.

        openai/whisper goes through a file in this way. A segment that reaches the window's end is
        transcribed again whole, from its start; the model does not get the text before it.
        """
        written: list[Timed] = []
        seconds, place = len(samples) / SAMPLE_RATE, 0.0
        while place < seconds - 0.1:
            first = round(place * SAMPLE_RATE)
            window = samples[first : first + round(WINDOW_SECONDS * SAMPLE_RATE)]
            kept, onward = _complete(self.transcribe(window).segments, len(window) / SAMPLE_RATE)
            written += [Timed(s.text, place + s.start, place + s.end) for s in kept]
            place += onward
        return Transcription("".join(s.text for s in written), tuple(written), seconds=seconds)


def _complete(segments: Sequence[Timed], seconds: float) -> tuple[Sequence[Timed], float]:
    """Return the segments that ended in the window, and where the next window begins."""
    if seconds < WINDOW_SECONDS - OPEN_SECONDS or not segments:
        return segments, seconds
    last = segments[-1]
    if last.end < seconds - OPEN_SECONDS:
        return segments, last.end
    if len(segments) == 1 or last.start == 0:
        return segments, seconds
    return segments[:-1], last.start
