"""A diarizer for tests: it tells apart a quiet voice and a loud one."""

from __future__ import annotations

import itertools

import numpy as np

from asr.diarization.diarizer import Diarization, Voice, VoiceTurn
from asr.options import SpeakerOptions
from asr.pcm import SAMPLE_RATE, Samples

FRAME = SAMPLE_RATE // 100  # samples
SILENCE, LOUD = 0.01, 0.3  # peaks


def load() -> LoudnessDiarizer:
    return LoudnessDiarizer()


class LoudnessDiarizer:
    """Begins sessions that go by the peaks of 10 ms."""

    name = "loudness"

    def begin(self, speakers: SpeakerOptions) -> LoudnessSession:
        return LoudnessSession(speakers)

    def voice(self, _: Samples) -> Voice | None:
        return None


class LoudnessSession:
    """Keeps all samples and decides at the end."""

    waiting = 0.0

    def __init__(self, speakers: SpeakerOptions) -> None:
        self._speakers = speakers
        self._blocks: list[Samples] = []

    def push(self, samples: Samples) -> None:
        self._blocks.append(samples.copy())

    def complete(self) -> None: ...

    def advance(self) -> bool:
        return False

    def finish(self) -> Diarization:
        samples = np.concatenate(self._blocks)
        peaks = np.abs(samples[: len(samples) // FRAME * FRAME]).reshape(-1, FRAME).max(axis=1)
        kinds = np.where(peaks < SILENCE, -1, np.where(peaks < LOUD, 0, 1))
        if self._speakers.count == 1:
            kinds = np.minimum(kinds, 0)
        edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1), len(kinds)]
        turns = tuple(
            VoiceTurn(start / 100, end / 100, int(kinds[start]))
            for start, end in itertools.pairwise(edges)
            if kinds[start] >= 0
        )
        return Diarization(turns, ((1.0, 0.0), (0.0, 1.0)))
