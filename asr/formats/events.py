"""Writes a transcript as OpenAI's stream events, while it is made."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from typing import Any

from asr.formats.captions import words_of
from asr.formats.openai_json import Logprobs, coverage_json, word_json
from asr.formats.writers import Writer
from asr.transcript import Segment, Transcript

Event = Mapping[str, Any]


async def transcript_events(
    parts: AsyncGenerator[Transcript],
    writer: Writer,
    granularities: Collection[str],
    closing: Callable[[Transcript], Event],
    with_logprobs: bool = False,
) -> AsyncGenerator[Event]:
    """Yield a transcript's events; the deltas joined are the text of the last event.

    A segment's event comes after the deltas of its text, in every format.

    Args:
        parts: the parts of the transcript, in order.
        writer: writes the deltas.
        granularities: what events of segments are sent for: "segment", "word" or both.
        closing: returns further fields of the last event, from the last part.
        with_logprobs: whether deltas, in the format text, carry their tokens.
    """
    deltas: list[Event] = []
    waiting: deque[Event] = deque()  # segments whose text is not all written
    tokens = Logprobs() if with_logprobs else None
    number = 0
    async with contextlib.aclosing(parts) as coming:
        async for part in coming:
            for segment in part.segments:
                if tokens is not None:
                    tokens.push(segment)
                if text := writer.push(segment):
                    deltas.append(_delta_event(text, tokens))
                    yield deltas[-1]
                if granularities:
                    identity = f"seg_{number}"
                    waiting.append(_segment_event(identity, segment, "word" in granularities))
                number += 1
                while len(waiting) > writer.holds_back:
                    yield waiting.popleft()
    if text := writer.finish():
        deltas.append(_delta_event(text, tokens))
        yield deltas[-1]
    for event in waiting:
        yield event
    yield {**_done_event(deltas, part, with_logprobs), **closing(part)}


def _delta_event(text: str, tokens: Logprobs | None) -> Event:
    event: Event = {"type": "transcript.text.delta", "delta": text}
    return event if tokens is None else {**event, "logprobs": tokens.take(text)}


def _done_event(deltas: Collection[Event], last: Transcript, with_logprobs: bool) -> Event:
    text = "".join(delta["delta"] for delta in deltas)
    event: dict[str, Any] = {"type": "transcript.text.done", "text": text}
    if with_logprobs:
        event["logprobs"] = [each for delta in deltas for each in delta["logprobs"]]
    if last.coverage is not None:
        event["coverage"] = coverage_json(last.coverage)
    if last.warnings:
        event["warnings"] = list(last.warnings)
    return event


def _segment_event(identity: str, segment: Segment, has_words: bool) -> Event:
    """Return a segment's event; the speaker is empty, because there is no diarizer."""
    event: dict[str, Any] = {
        "type": "transcript.text.segment",
        "id": identity,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "speaker": "",
    }
    if has_words:
        event["words"] = [word_json(word) for word in words_of(segment)]
    return event
