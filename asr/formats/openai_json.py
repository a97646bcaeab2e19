"""Write a transcript as OpenAI's JSON: plain, verbose, and tokens with their logprobs."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from asr.formats.captions import words_of
from asr.formats.writers import PlainText
from asr.options import Task
from asr.text import compression_ratio
from asr.transcript import Coverage, Segment, TokenLogprob, Transcript, Word, between

Json = dict[str, Any]

FRAME_SECONDS = 0.01  # `seek` counts frames of this length, in seconds, as openai/whisper does.
LEAST_LOGPROB = -9999.0  # An impossible token gets this, as OpenAI's do: JSON has no infinity.


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


class Logprobs:
    """Hands out the tokens of segments for one piece of their text after the other."""

    def __init__(self) -> None:
        self._held: list[TokenLogprob] = []

    def push(self, segment: Segment) -> None:
        self._held += segment.pieces

    def take(self, text: str) -> list[Json]:
        """The tokens whose bytes joined are `text`, the next there is; white space before it goes.

        Where the model wrote bytes that are no letters, its tokens are not its text: then all.
        """
        if not text:
            return []
        wanted = text.encode()
        start = b"".join(piece.data for piece in self._held).find(wanted)
        if start < 0:
            taken, self._held = self._held, []
        else:
            end = start + len(wanted)
            taken = between(self._held, start, end)
            self._held = between(self._held, end, None)
        return [_shown(piece) for piece in taken]


def _shown(piece: TokenLogprob) -> Json:
    return {
        "token": piece.data.decode("utf-8", "replace"),
        "logprob": max(piece.logprob, LEAST_LOGPROB),
        "bytes": list(piece.data),
    }
