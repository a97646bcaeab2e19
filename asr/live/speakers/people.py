"""The people of a live session, told apart by their voices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asr.diarization.diarizer import Diarization
from asr.transcript import Speaker, SpeakerTurn

# A voice is somebody's from this mean cosine on, to all that the person has said before: where it
# is taken from many seconds, and where from few. `benchmark/RESULTS.md` has the curve.
LEAST_COSINE, FEW_SECONDS_COSINE = 0.4, 0.3
FEW_SECONDS = 2.5
# A voice of fewer seconds makes nobody new: it is the nearest one's, and says nothing of that one.
LEAST_SECONDS = 1.0
SHORTEST = 0.01  # A voice without a turn counts as so many seconds.
MOST_PEOPLE = 64  # With so many known, all voices are theirs.

Vector = npt.NDArray[np.float64]  # [size]


class SessionPeople:
    """Everybody who has spoken so far, by number; nobody is renumbered.

    Each person takes as much memory as one voice, however long the session lasts.
    """

    def __init__(self) -> None:
        self._sums: list[Vector] = []  # of each person's voices, times their seconds
        self._seconds: list[float] = []  # of each person's speech

    def turns(self, found: Diarization, start: float) -> list[SpeakerTurn]:
        """Recognise the voices of a window, in the order in which they begin.

        Args:
            start: of the window, in seconds from the session's start; the turns count from there.
        """
        seconds = [SHORTEST] * len(found.voices)
        for turn in found.turns:
            seconds[turn.voice] += turn.end - turn.start
        pairs = zip(found.voices, seconds, strict=True)
        people = [Speaker(self._person(np.array(voice), length)) for voice, length in pairs]
        return [
            SpeakerTurn(turn.start + start, turn.end + start, people[turn.voice])
            for turn in found.turns
        ]

    def _person(self, voice: Vector, seconds: float) -> int:
        """The number of the person who has this voice, a new one where it is like nobody's."""
        pairs = zip(self._sums, self._seconds, strict=True)
        cosines = [float(total @ voice) / length for total, length in pairs]
        person = int(np.argmax(cosines)) if cosines else 0
        least = FEW_SECONDS_COSINE if seconds < FEW_SECONDS else LEAST_COSINE
        is_far = not cosines or cosines[person] < least
        if not cosines or (is_far and seconds >= LEAST_SECONDS and len(cosines) < MOST_PEOPLE):
            self._sums.append(seconds * voice)
            self._seconds.append(seconds)
            return len(cosines)
        if not is_far:
            self._sums[person] += seconds * voice
            self._seconds[person] += seconds
        return person
