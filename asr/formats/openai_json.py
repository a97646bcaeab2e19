"""Writes a transcript as OpenAI's JSON: plain, verbose, diarized, and tokens with logprobs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from asr.formats.captions import words_of
from asr.formats.writers import PlainText
from asr.options import Task
from asr.text import compression_ratio
from asr.transcript import Coverage, Gap, Segment, TokenLogprob, Transcript, Word, between

Json = dict[str, Any]

FRAME_SECONDS = 0.01  # `seek` counts frames of this length, in seconds, as openai/whisper does.
LEAST_LOGPROB = -9999.0  # An impossible token gets this, as OpenAI's do: JSON has no infinity.


def text(transcript: Transcript) -> str:
    """Return the text alone, without white space at its ends."""
    return transcript.text.strip()


def usage(seconds: float) -> Json:
    """Return what OpenAI would charge for: seconds, rounded up."""
    return {"type": "duration", "seconds": math.ceil(seconds)}


def plain_json(transcript: Transcript, with_logprobs: bool = False) -> Json:
    """Return the text and its usage, and its tokens where they are wanted."""
    answer: Json = {"text": text(transcript), "usage": usage(transcript.duration)}
    return {**answer, "logprobs": logprobs(transcript)} if with_logprobs else answer


def logprobs(transcript: Transcript) -> list[Json]:
    """Return the tokens of the text, without white space at its ends."""
    tokens, plain = Logprobs(), PlainText()
    taken = []
    for segment in transcript.segments:
        tokens.push(segment)
        taken += tokens.take(plain.push(segment))
    return taken


def coverage_json(coverage: Coverage) -> Json:
    """Return seconds of speech, seconds under a segment, and the gaps."""
    return {
        "speech": round(coverage.speech, 3),
        "covered": round(coverage.covered, 3),
        "gaps": [
            {"start": round(gap.start, 3), "end": round(gap.end, 3), "reason": gap.reason}
            | channel(gap)
            for gap in coverage.gaps
        ],
    }


def verbose_json(
    transcript: Transcript,
    task: Task,
    language: str,
    granularities: Collection[str],
    temperature: float,
    channels: Sequence[str] = (),
) -> Json:
    """Return the text with its times, as `verbose_json` has it.

    Where speakers are told apart, each segment and each word has its `speaker`, null if unknown.
    Where channels are split, each has its `channel`.

    Args:
        language: full English name.
        granularities: "segment", "word" or both.
        temperature: of the request, for segments without one of their own.
        channels: the full English name of each one's language, where they are split.
    """
    answer: Json = {
        "task": task,
        "language": language,
        "duration": transcript.duration,
        "text": text(transcript),
        "usage": usage(transcript.duration),
    }
    is_diarized = transcript.turns is not None

    def speaker(segment: Segment) -> Json:
        return {"speaker": label(segment)} if is_diarized else channel(segment)

    if "segment" in granularities:
        answer["segments"] = [
            segment_json(number, segment, temperature) | speaker(segment)
            for number, segment in enumerate(transcript.segments)
        ]
    if "word" in granularities:
        answer["words"] = [
            word_json(word) | speaker(segment)
            for segment in transcript.segments
            for word in words_of(segment)
        ]
    if channels:
        answer["channels"] = channels_json(channels)
    if transcript.coverage is not None:
        answer["coverage"] = coverage_json(transcript.coverage)
    return answer


def channels_json(languages: Sequence[str]) -> list[Json]:
    """Return each channel with the full English name of its language."""
    return [{"channel": number, "language": name} for number, name in enumerate(languages)]


def diarized_json(transcript: Transcript, task: Task) -> Json:
    """Return the text and who says what, as `diarized_json` has it.

    Segments are such as end where the speaker changes; their texts joined are the text.
    """
    return {
        "task": task,
        "duration": transcript.duration,
        "text": text(transcript),
        "segments": [
            {
                "type": "transcript.text.segment",
                "id": segment_id(number),
                "start": round(segment.start, 3),
                "end": round(segment.end, 3),
                "text": segment.text,
                "speaker": letter(segment),
            }
            for number, segment in enumerate(transcript.segments)
        ],
        "usage": usage(transcript.duration),
    }


def segment_id(number: int) -> str:
    """Return the id of a diarized segment: "seg_001" is the one with the number 0."""
    return f"seg_{number + 1:03}"


def channel(timed: Segment | Gap) -> Json:
    """Return the field of the channel, where channels were split."""
    return {} if timed.channel is None else {"channel": timed.channel}


def letter(segment: Segment) -> str:
    """Return the speaker as OpenAI names it: "A" or a known name; "" where it is not known."""
    return "" if segment.speaker is None else segment.speaker.letter


def label(segment: Segment) -> str | None:
    """Return the speaker as "SPEAKER_00" or a known name; None where it is not known."""
    return None if segment.speaker is None else segment.speaker.label


def segment_json(number: int, segment: Segment, temperature: float) -> Json:
    """Return a segment with OpenAI's ten fields; unknown numbers are 0."""
    own = segment.temperature
    return {
        "id": number,
        "seek": round(segment.window_start / FRAME_SECONDS),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": temperature if own is None else own,
        "avg_logprob": segment.avg_logprob or 0.0,
        "compression_ratio": compression_ratio(segment.text),
        "no_speech_prob": segment.no_speech_prob or 0.0,
    }


def word_json(word: Word) -> Json:
    """Return a word with its times, and its probability where it is known."""
    answer: Json = {
        "word": word.text.strip(),
        "start": round(word.start, 3),
        "end": round(word.end, 3),
    }
    if word.probability is not None:
        answer["probability"] = round(word.probability, 4)
    return answer


class Logprobs:
    """Assigns the tokens of segments to the parts of their text, in order."""

    def __init__(self) -> None:
        self._held: list[TokenLogprob] = []

    def push(self, segment: Segment) -> None:
        self._held += segment.token_logprobs

    def take(self, text: str) -> list[Json]:
        """Return the tokens of the next `text`; white space before it is dropped.

        The bytes of the tokens joined are `text`. Where the model wrote bytes that are no letters,
        its tokens are not its text: then all tokens are returned.
        """
        if not text:
            return []
        wanted = text.encode()
        start = b"".join(token.data for token in self._held).find(wanted)
        if start < 0:
            taken, self._held = self._held, []
        else:
            end = start + len(wanted)
            taken = between(self._held, start, end)
            self._held = between(self._held, end, None)
        return [token_json(token) for token in taken]


def token_json(token: TokenLogprob) -> Json:
    return {
        "token": token.data.decode("utf-8", "replace"),
        "logprob": max(token.logprob, LEAST_LOGPROB),
        "bytes": list(token.data),
    }
