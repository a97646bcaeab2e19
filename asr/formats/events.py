"""Writes a transcript as OpenAI's stream events, while it is made."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from asr.formats.captions import words_of
from asr.formats.openai_json import Logprobs, channel, coverage_json, letter, segment_id, word_json
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

    A segment's event comes after the deltas of its text, in every format. The text of formats
    without times does not wait for the times of words.

    Args:
        parts: the parts of the transcript, in order.
        writer: writes the deltas.
        granularities: what events of segments are sent for: "segment", "word" or both.
        closing: returns further fields of the last event, from the last part.
        with_logprobs: whether deltas, in the format text, carry their tokens.
    """
    deltas = Deltas(writer, with_logprobs)
    waiting: deque[Event] = deque()  # segments whose text is not all written
    number, ahead = 0, 0  # segments; the text of so many more is written
    async with contextlib.aclosing(parts) as coming:
        async for part in coming:
            for segment in () if writer.has_times else part.ahead:
                ahead += 1
                for event in deltas.push(segment):
                    yield event
            for segment in part.segments:
                for event in () if ahead else deltas.push(segment):
                    yield event
                ahead = max(0, ahead - 1)
                if granularities:
                    identity = f"seg_{number}"
                    waiting.append(segment_event(identity, segment, "word" in granularities))
                number += 1
                while len(waiting) > writer.holds_back:
                    yield waiting.popleft()
    for event in deltas.finish():
        yield event
    for event in waiting:
        yield event
    yield {**_done_event(deltas.sent, part, with_logprobs), **closing(part)}


async def diarized_events(
    parts: AsyncGenerator[Transcript],
    writer: Writer,
    granularities: Collection[str],
    closing: Callable[[Transcript], Event],
    assign: Callable[[Transcript], Transcript],
    name: Callable[[Segment], str | None] = letter,
    with_logprobs: bool = False,
) -> AsyncGenerator[Event]:
    """Yield a transcript's events where speakers are told apart, which takes all of its parts.

    Text without times comes while the audio is transcribed; subtitles, which name the speakers,
    and the events of segments come at the end.

    Args:
        assign: gives the segments of a whole transcript their speakers; called in a thread.
        name: returns the speaker of a segment, as its event has it.

    The others are those of `transcript_events`.
    """
    deltas = Deltas(writer, with_logprobs)
    segments: list[Segment] = []
    ahead = 0  # segments of the parts to come, whose text is written
    async with contextlib.aclosing(parts) as coming:
        async for part in coming:
            new = part.ahead + part.segments[ahead:]
            ahead = max(0, ahead - len(part.segments)) + len(part.ahead)
            segments += part.segments
            for segment in () if writer.has_times else new:
                for event in deltas.push(segment):
                    yield event
    whole = await asyncio.to_thread(assign, replace(part, segments=tuple(segments)))
    for segment in whole.segments if writer.has_times else ():
        for event in deltas.push(segment):
            yield event
    for event in deltas.finish():
        yield event
    for number, segment in enumerate(whole.segments) if granularities else ():
        yield segment_event(segment_id(number), segment, "word" in granularities, name)
    yield {**_done_event(deltas.sent, part, with_logprobs), **closing(part)}


class Deltas:
    """Makes the events of a writer's text, each with its tokens where they are wanted."""

    def __init__(self, writer: Writer, with_logprobs: bool) -> None:
        self._writer = writer
        self._tokens = Logprobs() if with_logprobs else None
        self.sent: list[Event] = []

    def push(self, segment: Segment) -> list[Event]:
        if self._tokens is not None:
            self._tokens.push(segment)
        return self._events(self._writer.push(segment))

    def finish(self) -> list[Event]:
        return self._events(self._writer.finish())

    def _events(self, text: str) -> list[Event]:
        if not text:
            return []
        event: Event = {"type": "transcript.text.delta", "delta": text}
        if self._tokens is not None:
            event = {**event, "logprobs": self._tokens.take(text)}
        self.sent.append(event)
        return [event]


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


def segment_event(
    identity: str,
    segment: Segment,
    has_words: bool,
    name: Callable[[Segment], str | None] = letter,
) -> Event:
    """Return a segment's event; `name` returns its speaker, which is empty if unknown."""
    event: dict[str, Any] = {
        "type": "transcript.text.segment",
        "id": identity,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "speaker": name(segment) or "",
        **channel(segment),
    }
    if has_words:
        event["words"] = [word_json(word) for word in words_of(segment)]
    return event
