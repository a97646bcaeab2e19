"""The people of a live session, told apart by their voices."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from asr.diarization.diarizer import Diarization
from asr.transcript import Speaker, SpeakerTurn

# In a voice that is taken from so many seconds half is the person, and half is what was said: two
# such voices of one person have a mean cosine of 0.5. `benchmark/RESULTS.md` has the table.
HALF_SECONDS = 1.2
SHORTEST = 0.5  # A voice from fewer seconds counts as one from so many.
# A voice is a known person's from this likeness on: a share of the cosine that is to be expected of
# one person's voices, so that 1 is the usual one.
KNOWN_LIKENESS = 0.55
UNKNOWN_LIKENESS = 0.4  # Below this likeness to everybody known it is a new person's.
# Where it is between the two it is not sure yet. Voices that are alike are a new person's as soon
# as they have so many seconds together.
SURE_SECONDS = 2.5
# A voice of fewer seconds makes nobody new: it is the nearest one's, and says nothing of others.
LEAST_SECONDS = 1.0
MOST_PEOPLE = 64  # With so many known, all voices are theirs; as many may be unsure.

Vector = npt.NDArray[np.float64]  # [size]


class HeardVoice:
    """The mean of all voices of a person so far; it takes as much memory as one."""

    def __init__(self, voice: Vector, seconds: float) -> None:
        self._sum = seconds * voice
        self.seconds = seconds  # of speech

    def add(self, voice: Vector, seconds: float) -> None:
        """Take a unit vector, and the seconds that it speaks."""
        self._sum += seconds * voice
        self.seconds += seconds

    def cosine(self, voice: Vector) -> float:
        return float(self._sum @ voice) / max(float(np.linalg.norm(self._sum)), 1e-9)

    def likeness(self, voice: Vector, seconds: float) -> float:
        """The cosine, as a share of what it would be if the voice were the same person's.

        Source: a vector of s seconds is a person's plus noise of variance HALF_SECONDS / s.
        """
        return self.cosine(voice) / math.sqrt(_personal(seconds) * _personal(self.seconds))


class SessionPeople:
    """Everybody who has spoken so far, by number; nobody is renumbered."""

    def __init__(self) -> None:
        self._known: list[HeardVoice] = []
        self._unsure: deque[HeardVoice] = deque(maxlen=MOST_PEOPLE)  # Each may be somebody new.

    def turns(self, found: Diarization, start: float) -> list[SpeakerTurn]:
        """Recognise the voices of a window, once all of them are taken.

        Args:
            start: of the window, in seconds from the session's start; the turns count from there.
        """
        seconds = [0.0] * len(found.voices)
        for turn in found.turns:
            seconds[turn.voice] += turn.end - turn.start
        voices = [np.array(voice) for voice in found.voices]
        for voice, length in zip(voices, seconds, strict=True):
            self._take(voice, max(length, SHORTEST))
        people = [Speaker(self._nearest(voice)) for voice in voices]
        return [
            SpeakerTurn(turn.start + start, turn.end + start, people[turn.voice])
            for turn in found.turns
        ]

    def _take(self, voice: Vector, seconds: float) -> None:
        """Learn from a voice whose it is, or that there is somebody new."""
        best, person = _likest(self._known, voice, seconds)
        if best >= KNOWN_LIKENESS and person is not None:
            person.add(voice, seconds)
        elif person is None:
            self._known.append(HeardVoice(voice, seconds))
        elif seconds >= LEAST_SECONDS and len(self._known) < MOST_PEOPLE:
            self._take_unsure(voice, seconds, is_new=best < UNKNOWN_LIKENESS)

    def _take_unsure(self, voice: Vector, seconds: float, is_new: bool) -> None:
        """Put a voice to those that are like it; they are somebody new where that is sure."""
        best, alike = _likest(self._unsure, voice, seconds)
        if alike is None or best < KNOWN_LIKENESS:
            alike = HeardVoice(voice, seconds)
        else:
            self._unsure.remove(alike)
            alike.add(voice, seconds)
        if is_new or alike.seconds >= SURE_SECONDS:
            self._known.append(alike)
        else:
            self._unsure.append(alike)

    def _nearest(self, voice: Vector) -> int:
        return int(np.argmax([person.cosine(voice) for person in self._known]))


def _likest(
    known: Iterable[HeardVoice], voice: Vector, seconds: float
) -> tuple[float, HeardVoice | None]:
    """The highest likeness to a voice, and whose it is; None where nobody is known."""
    pairs = ((each.likeness(voice, seconds), each) for each in known)
    return max(pairs, key=lambda pair: pair[0], default=(0.0, None))


def _personal(seconds: float) -> float:
    """The share of a voice that is the person's, from 0 to 1."""
    return seconds / (seconds + HALF_SECONDS)
