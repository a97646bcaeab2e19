"""What a live session tells its client, in the order in which it happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asr.transcript import Speaker, TokenLogprob, Word


@dataclass(frozen=True)
class SpeechStarted:
    """Somebody begins to speak: an utterance begins."""

    item_id: str  # of the utterance, in all its events
    at: float  # seconds from the session's first sample, padding included


@dataclass(frozen=True)
class SpeechStopped:
    """The utterance has ended: a pause follows, or it has reached the longest window."""

    item_id: str
    at: float  # seconds from the session's first sample, the pause included


@dataclass(frozen=True)
class Committed:
    """The utterance's audio is complete."""

    item_id: str
    previous_id: str | None  # of the utterance before it


@dataclass(frozen=True)
class Cleared:
    """The audio that was in no complete utterance is forgotten."""


@dataclass(frozen=True)
class Delta:
    """More words of an utterance; they are never taken back."""

    item_id: str
    text: str  # follows the deltas before; together they are the whole text
    logprobs: tuple[TokenLogprob, ...] = ()  # of `text`, where they are asked for


@dataclass(frozen=True)
class Hypothesis:
    """The words that the model expects after the deltas so far; they may change."""

    item_id: str
    text: str


@dataclass(frozen=True)
class Completed:
    """The whole text of an utterance: its deltas joined."""

    item_id: str
    text: str
    start: float  # seconds from the session's first sample
    end: float  # likewise
    language: str | None  # code; None where nobody speaks, or the model does not say
    probabilities: Mapping[str, float] = field(default_factory=dict)  # of languages, by code
    words: tuple[Word, ...] = ()  # times count from the session's first sample
    logprobs: tuple[TokenLogprob, ...] = ()  # where they are asked for

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class SpokenSegment:
    """A part of an utterance that one person has said; the parts joined are its text."""

    item_id: str
    number: int  # in the session, from 0
    start: float  # seconds from the session's first sample
    end: float  # likewise
    text: str
    speaker: Speaker | None  # with the same number in the whole session; None: nobody is known


@dataclass(frozen=True)
class SpeakersUnknown:
    """Who speaks in an utterance cannot be told; its text comes all the same."""

    item_id: str
    error: Exception


@dataclass(frozen=True)
class Failed:
    """The utterance cannot be transcribed; the session goes on."""

    item_id: str
    error: Exception


@dataclass(frozen=True)
class CommandRefused:
    """A command that cannot be carried out; the session goes on."""

    error: Exception
    tag: str | None  # of the command, as its client gave it


LiveEvent = (
    SpeechStarted
    | SpeechStopped
    | Committed
    | Cleared
    | Delta
    | Hypothesis
    | SpokenSegment
    | SpeakersUnknown
    | Completed
    | Failed
    | CommandRefused
)
