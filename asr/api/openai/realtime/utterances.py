"""Turns what a live session tells into the events of the Realtime API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from asr.api.openai.realtime import server_events
from asr.api.openai.realtime.configuration import Configuration
from asr.api.openai.realtime.schemas import HYPOTHESIS, LOGPROBS, WORDS
from asr.api.openai.realtime.server_events import event
from asr.errors import Failure
from asr.http.openapi import Json
from asr.live.events import (
    Cleared,
    CommandRefused,
    Committed,
    Completed,
    Delta,
    Failed,
    Hypothesis,
    LiveEvent,
    SpeakersUnknown,
    SpeechStarted,
    SpeechStopped,
    SpokenSegment,
)
from asr.metrics import Metrics
from asr.transcript import TokenLogprob, between


class Utterances:
    """Follows the utterances of one session."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._committed: dict[str, Committed] = {}  # those without a text yet
        self._ended_at: dict[str, float] = {}  # when they were committed, by the clock
        self._begun: set[str] = set()  # those with a text that is not white space alone
        self._told_apart: set[str] = set()  # those with a segment
        self.count = 0  # that were committed

    def events(
        self, told: LiveEvent, configuration: Configuration, is_older: bool
    ) -> Iterator[Json]:
        """The events that tell what the session told.

        Args:
            is_older: whether the client speaks the beta's dialect.
        """
        if isinstance(told, Committed):
            yield from self._commit(told, is_older)
        elif isinstance(told, Completed):
            logprobs, words = configuration.includes(LOGPROBS), configuration.includes(WORDS)
            text, tokens = _trimmed(told.text, told.logprobs)
            told = replace(told, text=text, logprobs=tokens)
            yield server_events.completed(told, logprobs, words)
            yield from self._done(told.item_id, "completed", text, is_older)
        elif isinstance(told, Failed):
            yield server_events.failed(told.item_id, Failure.of(told.error))
            yield from self._done(told.item_id, "incomplete", None, is_older)
        elif isinstance(told, CommandRefused):
            yield server_events.failed_event(Failure.of(told.error), told.tag)
        elif isinstance(told, SpeakersUnknown):
            yield server_events.failed_event(Failure.of(told.error))
        elif isinstance(told, SpokenSegment):
            is_first = told.item_id not in self._told_apart
            self._told_apart.add(told.item_id)
            text = told.text.lstrip() if is_first else told.text
            yield server_events.segment(replace(told, text=text))
        elif isinstance(told, Delta):
            yield from self._delta(told, configuration.includes(LOGPROBS))
        elif isinstance(told, Hypothesis):
            if configuration.includes(HYPOTHESIS):
                has_begun = told.item_id in self._begun
                text = told.text if has_begun else told.text.lstrip()
                yield server_events.hypothesis(replace(told, text=text))
        else:
            yield _of_the_buffer(told)

    def _delta(self, told: Delta, with_logprobs: bool) -> Iterator[Json]:
        """The next words; the text of an utterance has no white space before it."""
        if told.item_id not in self._begun:
            text, tokens = _trimmed(told.text, told.logprobs)
            told = replace(told, text=text, logprobs=tokens)
        if told.text:
            self._begun.add(told.item_id)
            yield server_events.delta(told, with_logprobs)

    def _commit(self, told: Committed, is_older: bool) -> Iterator[Json]:
        self.count += 1
        self._metrics.live_utterances.inc()
        self._committed[told.item_id] = told
        self._ended_at[told.item_id] = time.monotonic()
        place = {"previous_item_id": told.previous_id}
        yield event("input_audio_buffer.committed", item_id=told.item_id, **place)
        kind = "conversation.item.created" if is_older else "conversation.item.added"
        status = "completed" if is_older else "in_progress"
        yield event(kind, item=server_events.item(told.item_id, status), **place)

    def _done(
        self, item_id: str, status: str, transcript: str | None, is_older: bool
    ) -> Iterator[Json]:
        committed = self._committed.pop(item_id, None)
        ended_at = self._ended_at.pop(item_id, None)
        self._begun.discard(item_id)
        self._told_apart.discard(item_id)
        if ended_at is not None:
            self._metrics.live_text_seconds.observe(time.monotonic() - ended_at)
        if is_older:
            return
        item = server_events.item(item_id, status, transcript)
        previous = committed.previous_id if committed is not None else None
        yield event("conversation.item.done", item=item, previous_item_id=previous)


def _of_the_buffer(told: SpeechStarted | SpeechStopped | Cleared) -> Json:
    if isinstance(told, Cleared):
        return event("input_audio_buffer.cleared")
    at = server_events.milliseconds(told.at)
    if isinstance(told, SpeechStarted):
        kind = "input_audio_buffer.speech_started"
        return event(kind, audio_start_ms=at, item_id=told.item_id)
    kind = "input_audio_buffer.speech_stopped"
    return event(kind, audio_end_ms=at, item_id=told.item_id)


def _trimmed(text: str, tokens: tuple[TokenLogprob, ...]) -> tuple[str, tuple[TokenLogprob, ...]]:
    """A text and its tokens, without the white space before it."""
    kept = text.lstrip()
    space = len(text.encode()) - len(kept.encode())
    if not b"".join(token.data for token in tokens)[:space].isspace():
        return kept, tokens
    return kept, tuple(between(tokens, space, None))
