"""Send recordings to a server and read text, times and coverage from its answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import requests

from asr.pcm import SAMPLE_RATE, Samples
from benchmark.recordings import WINDOW_SECONDS, flac

ANSWER_SECONDS = 3600.0  # A request that is not answered within so many seconds has failed.
# A segment that ends at most so many seconds before its window does may go on behind it.
OPEN_SECONDS = 0.2
TRANSCRIPTIONS = "/v1/audio/transcriptions"
DETECTION = "/v1/audio/language"


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
class Streamed:
    """Holds a text that was streamed, and when it came, in seconds after the request."""

    text: str
    first_s: float | None  # until the first words; None: there are none
    whole_s: float


@dataclass(frozen=True)
class Server:
    """Transcribes recordings on a server that speaks OpenAI's API, ours or another."""

    url: str
    key: str | None = None
    language: str | None = None  # of all recordings; None: the server detects it
    options: Mapping[str, str] = field(default_factory=dict)  # further fields of each request

    def transcribe(
        self, audio: Samples | Path, words: bool = False, language: str | None = None
    ) -> Transcription:
        """Send `audio`, 16 kHz mono samples or a file, and return its transcription.

        Args:
            words: whether the times of words are asked for.
            language: of this recording; None: the one of all recordings.

        Raises:
            TranscriptionFailed: the answer is not a transcript.
        """
        fields: dict[str, str | list[str]] = {"response_format": "verbose_json"}
        if words:
            fields["timestamp_granularities[]"] = ["segment", "word"]
        try:
            reply = self._post(TRANSCRIPTIONS, audio, fields, language)
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

    def stream(self, audio: Path, language: str | None = None) -> Streamed:
        """Send the file, and note when the first and the last words of its text come.

        Raises:
            TranscriptionFailed: the stream ends without the whole text.
        """
        started, first = time.monotonic(), None
        event: dict[str, str] = {"type": "nothing"}
        try:
            reply = self._post(TRANSCRIPTIONS, audio, {"stream": "true"}, language, streamed=True)
            for event in _events(reply):
                if first is None and event["type"] == "transcript.text.delta":
                    first = time.monotonic() - started
        except requests.RequestException as error:
            raise TranscriptionFailed(str(error)) from error
        if event["type"] != "transcript.text.done":
            raise TranscriptionFailed(f"the stream ended with {event}")
        return Streamed(event["text"], first, time.monotonic() - started)

    def detect(self, audio: Path) -> str | None:
        """Return the language that is detected in the file; None: nobody speaks.

        Raises:
            TranscriptionFailed: the server does not detect languages.
        """
        try:
            code: str | None = self._post(DETECTION, audio, {}).json()["language"]
        except requests.RequestException as error:
            raise TranscriptionFailed(str(error)) from error
        return code

    def _post(
        self,
        path: str,
        audio: Samples | Path,
        fields: dict[str, str | list[str]],
        language: str | None = None,
        streamed: bool = False,
    ) -> requests.Response:
        """Send a form with the audio, and return the answer unless it is an error."""
        data = audio.read_bytes() if isinstance(audio, Path) else flac(audio)
        if path == TRANSCRIPTIONS:
            fields = {**self.options, **fields}
            if language := language or self.language:
                fields["language"] = language
        reply = requests.post(
            f"{self.url}{path}",
            data={"model": "whisper-1", **fields},
            files={"file": ("audio", data)},
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            timeout=ANSWER_SECONDS,
            stream=streamed,
        )
        if not reply.ok:
            raise TranscriptionFailed(f"{reply.status_code}: {reply.text[:300]}")
        return reply

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


def _events(reply: requests.Response) -> Iterator[dict[str, str]]:
    """Yield the Server-Sent Events of a stream; an error has the type "error"."""
    for line in reply.iter_lines():
        if line.startswith(b"data: "):
            event = json.loads(line.removeprefix(b"data: "))
            yield event if "type" in event else {"type": "error", **event}


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
