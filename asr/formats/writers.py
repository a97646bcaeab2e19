"""A transcript in the formats that callers ask for: json, text, srt, vtt, tsv; pure functions.

Text formats are written by writers that take one segment after the other, so that a stream and
a whole answer cannot differ. All formats carry the same words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, Literal, Protocol

from asr.formats.captions import Captioner, Cue, Layout, words_of
from asr.formats.logprobs import Logprobs
from asr.options import Task
from asr.text import compression_ratio
from asr.transcript import Coverage, Segment, Transcript, Word

TextFormat = Literal["text", "srt", "vtt", "tsv"]
Json = dict[str, Any]

FRAME_SECONDS = 0.01  # that `seek` counts, as openai/whisper does


class Writer(Protocol):
    """Writes a text format piece by piece; the pieces joined are the whole."""

    holds_back: int  # segments, at most, whose text is not written until more come

    def push(self, segment: Segment) -> str: ...

    def finish(self) -> str: ...


def writer(text_format: TextFormat, layout: Layout) -> Writer:
    """A new writer of `text_format`."""
    if text_format == "srt":
        return Subtitles(Captioner(layout), "", _srt_cue)
    if text_format == "vtt":
        return Subtitles(Captioner(layout), "WEBVTT\n\n", _vtt_cue)
    return Table() if text_format == "tsv" else PlainText()


def written(segments: Iterable[Segment], text_format: TextFormat, layout: Layout) -> str:
    """All of `segments` in `text_format`."""
    chosen = writer(text_format, layout)
    return "".join([*map(chosen.push, segments), chosen.finish()])


class Verbatim:
    """The text as the model wrote it."""

    holds_back = 0

    def push(self, segment: Segment) -> str:
        return segment.text

    def finish(self) -> str:
        return ""


class PlainText:
    """The text without white space at its ends."""

    holds_back = 0

    def __init__(self) -> None:
        self._has_begun = False
        self._space = ""  # written only if text follows

    def push(self, segment: Segment) -> str:
        text = self._space + segment.text
        text = text if self._has_begun else text.lstrip()
        kept = text.rstrip()
        self._has_begun = self._has_begun or bool(kept)
        self._space = text[len(kept) :]
        return kept

    def finish(self) -> str:
        return ""


class Subtitles:
    """Cues under a heading, numbered from 1."""

    holds_back = 1  # its last cue, whose end may yet change

    def __init__(
        self, captioner: Captioner, heading: str, write: Callable[[int, Cue], str]
    ) -> None:
        self._captioner = captioner
        self._heading = heading
        self._write = write
        self._count = 0

    def push(self, segment: Segment) -> str:
        return self._cues(self._captioner.push(segment))

    def finish(self) -> str:
        return self._cues(self._captioner.finish())

    def _cues(self, cues: list[Cue]) -> str:
        text, self._heading = self._heading, ""
        for cue in cues:
            self._count += 1
            text += self._write(self._count, cue)
        return text


def _srt_cue(number: int, cue: Cue) -> str:
    times = f"{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}"
    return "\n".join([str(number), times, *cue.lines]) + "\n\n"


def _vtt_cue(_: int, cue: Cue) -> str:
    """WebVTT, https://www.w3.org/TR/webvtt1: its text escapes three characters."""
    times = f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}"
    text = "\n".join(cue.lines)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{times}\n{text}\n\n"


def _clock(milliseconds: int, point: str) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"


class Table:
    """Tab-separated values as openai/whisper writes them: start, end in milliseconds, text."""

    holds_back = 0

    def __init__(self) -> None:
        self._heading = "start\tend\ttext\n"

    def push(self, segment: Segment) -> str:
        line, self._heading = self._heading, ""
        text = " ".join(segment.text.split())
        if text:
            line += f"{round(segment.start * 1000)}\t{round(segment.end * 1000)}\t{text}\n"
        return line

    def finish(self) -> str:
        heading, self._heading = self._heading, ""
        return heading


def text(transcript: Transcript) -> str:
    """The text alone, without white space at its ends."""
    return transcript.text.strip()


def usage(seconds: float) -> Json:
    """What OpenAI would charge for: seconds, rounded up."""
    return {"type": "duration", "seconds": math.ceil(seconds)}


def plain_json(transcript: Transcript, with_logprobs: bool = False) -> Json:
    found: Json = {"text": text(transcript), "usage": usage(transcript.duration)}
    return {**found, "logprobs": logprobs(transcript)} if with_logprobs else found


def logprobs(transcript: Transcript) -> list[Json]:
    """The tokens of the text, without white space at its ends."""
    tokens, plain = Logprobs(), PlainText()
    found = []
    for segment in transcript.segments:
        tokens.push(segment)
        found += tokens.take(plain.push(segment))
    return found


def coverage_json(coverage: Coverage) -> Json:
    return {
        "speech": round(coverage.speech, 3),
        "covered": round(coverage.covered, 3),
        "gaps": [
            {"start": round(gap.start, 3), "end": round(gap.end, 3), "reason": gap.reason}
            for gap in coverage.gaps
        ],
    }


def verbose_json(
    transcript: Transcript,
    task: Task,
    language: str,
    granularities: Collection[str],
    temperature: float,
) -> Json:
    """The text with its times.

    Args:
        language: full English name.
        granularities: "segment", "word" or both.
        temperature: that was asked, for segments that do not say theirs.
    """
    found: Json = {
        "task": task,
        "language": language,
        "duration": transcript.duration,
        "text": text(transcript),
        "usage": usage(transcript.duration),
    }
    if "segment" in granularities:
        found["segments"] = [
            segment_json(number, segment, temperature)
            for number, segment in enumerate(transcript.segments)
        ]
    if "word" in granularities:
        found["words"] = [
            word_json(word) for segment in transcript.segments for word in words_of(segment)
        ]
    if transcript.coverage is not None:
        found["coverage"] = coverage_json(transcript.coverage)
    return found


def segment_json(number: int, segment: Segment, temperature: float) -> Json:
    """One segment with OpenAI's ten fields; 0 stands for what the engine does not know."""
    written_at = segment.temperature
    return {
        "id": number,
        "seek": round(segment.window_start / FRAME_SECONDS),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": temperature if written_at is None else written_at,
        "avg_logprob": segment.avg_logprob or 0.0,
        "compression_ratio": compression_ratio(segment.text),
        "no_speech_prob": segment.no_speech_prob or 0.0,
    }


def word_json(word: Word) -> Json:
    found: Json = {
        "word": word.text.strip(),
        "start": round(word.start, 3),
        "end": round(word.end, 3),
    }
    if word.probability is not None:
        found["probability"] = round(word.probability, 4)
    return found
