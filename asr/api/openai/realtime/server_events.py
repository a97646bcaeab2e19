"""What the server sends: events as JSON-ready data, with ids of their own."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from asr.api.openai.problem import problem
from asr.errors import Failure
from asr.formats.openai_json import segment_id, token_json, word_json
from asr.http.openapi import Json
from asr.live.events import Completed, Delta, Hypothesis, SpokenSegment
from asr.transcript import TokenLogprob

TRANSCRIPTION = "conversation.item.input_audio_transcription"


def event(kind: str, **fields: object) -> Json:
    return {"type": kind, "event_id": new_id("event"), **fields}


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"


def failed_event(failure: Failure, event_id: str | None = None) -> Json:
    """What went wrong; the session goes on.

    Args:
        event_id: that the client gave to its event.
    """
    return event("error", error={**problem(failure)["error"], "event_id": event_id})


def milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def item(item_id: str, status: str, transcript: str | None = None) -> Json:
    """An utterance, as a message of the user."""
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "role": "user",
        "status": status,
        "content": [{"type": "input_audio", "transcript": transcript}],
    }


def delta(told: Delta, with_logprobs: bool) -> Json:
    more = {"logprobs": _logprobs(told.logprobs)} if with_logprobs else {}
    return event(
        f"{TRANSCRIPTION}.delta", item_id=told.item_id, content_index=0, delta=told.text, **more
    )


def hypothesis(told: Hypothesis) -> Json:
    kind = f"{TRANSCRIPTION}.hypothesis"
    return event(kind, item_id=told.item_id, content_index=0, text=told.text)


def segment(told: SpokenSegment) -> Json:
    """A part of an utterance with its speaker, "A" or "B" and so on; "" where it is not known."""
    return event(
        f"{TRANSCRIPTION}.segment",
        id=segment_id(told.number),
        item_id=told.item_id,
        content_index=0,
        start=round(told.start, 3),
        end=round(told.end, 3),
        speaker="" if told.speaker is None else told.speaker.letter,
        text=told.text,
    )


def completed(told: Completed, with_logprobs: bool, with_words: bool) -> Json:
    """The whole text of an utterance; `words` with their times are an extension."""
    more: Json = {"languages": [{"code": told.language}]} if told.language else {}
    if with_logprobs:
        more["logprobs"] = _logprobs(told.logprobs)
    if with_words:
        more |= {
            "words": [word_json(word) for word in told.words],
            "start": round(told.start, 3),
            "end": round(told.end, 3),
            "language": told.language,
        }
    return event(
        f"{TRANSCRIPTION}.completed",
        item_id=told.item_id,
        content_index=0,
        transcript=told.text,
        usage={"type": "duration", "seconds": round(told.seconds, 3)},
        **more,
    )


def failed(item_id: str, failure: Failure) -> Json:
    error = problem(failure)["error"]
    return event(f"{TRANSCRIPTION}.failed", item_id=item_id, content_index=0, error=error)


def _logprobs(tokens: Sequence[TokenLogprob]) -> list[Json]:
    return [token_json(token) for token in tokens]
