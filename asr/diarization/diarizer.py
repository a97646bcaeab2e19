"""The contract between the transcription and whatever tells speakers apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from asr.options import SpeakerOptions
from asr.pcm import Samples

Voice = tuple[float, ...]  # a unit vector; the cosine of two is high where they are one person's


@dataclass(frozen=True)
class VoiceTurn:
    """A stretch of speech of one voice; turns of different voices may overlap."""

    start: float  # seconds
    end: float  # seconds
    voice: int  # index in `Diarization.voices`


@dataclass(frozen=True)
class Diarization:
    """Who spoke when; empty where nobody did."""

    turns: tuple[VoiceTurn, ...] = ()  # by start, then end
    voices: tuple[Voice, ...] = ()  # in the order of their first turns


class DiarizationSession(Protocol):
    """One recording; all calls come from one thread at a time, and none from the event loop."""

    @property
    def waiting(self) -> float:
        """Seconds of audio that were pushed and not worked on yet."""

    def push(self, samples: Samples) -> None:
        """Take the next samples, float32 of shape [n] at 16 kHz; nothing is computed."""

    def complete(self) -> None:
        """Note that no samples follow."""

    def advance(self) -> bool:
        """Do one piece of work, of 0.1 to 0.3 s of one core.

        Returns:
            Whether there is more to do: False until samples that are enough for a piece have
            come, and after all work of a complete recording.
        """

    def finish(self) -> Diarization:
        """Decide who spoke when, after `complete` and all of `advance`."""


class Diarizer(Protocol):
    """Tells speakers apart; one is shared by all requests, and its sessions keep their state."""

    name: str  # of the backend, such as "builtin"

    def begin(self, speakers: SpeakerOptions) -> DiarizationSession:
        """Begin a recording in which as many people speak as `speakers` allows."""

    def voice(self, samples: Samples) -> Voice | None:
        """The voice in a short recording of one person, float32 [n] at 16 kHz; None: nobody's."""
