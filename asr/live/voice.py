"""Judges each new frame of a session once: whether somebody speaks, and how loud it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asr.errors import ConfigError
from asr.live.endpointing import Frames
from asr.pcm import Samples
from asr.vad.detector import FRAME_SECONDS, Detector, Flags, Framer, SpeechTrack
from asr.vad.energy import Energy
from asr.vad.silero import LIKELY, LOWEST_THRESHOLD, SURE, Silero, SileroTrack


def choose() -> Detector:
    """Silero's detector, on a GPU too: live audio is little; the energy detector without it."""
    try:
        return Detector(Silero.load().begin, has_threshold=True)
    except ConfigError:
        return Detector(lambda _: Energy())


@dataclass(frozen=True)
class JudgedAudio:
    """The next samples of a session, and what is known of the frames that they complete."""

    samples: Samples
    frames: Frames


class VoiceTrack:
    """The detector's track of one session; `push` computes, in any thread, one call at a time."""

    def __init__(self, track: SpeechTrack) -> None:
        self.track = track
        self._framer = Framer()
        self._count = 0  # frames so far

    def push(self, samples: Samples, threshold: float) -> Frames:
        """Take the next samples.

        Args:
            threshold: probability from which on a sound is speech.
        """
        self.track.push(samples)
        whole = self._framer.push(samples)
        first, self._count = self._count, self._count + len(whole)
        power = np.mean(np.square(whole, dtype=np.float64), axis=1)
        sure, likely = self._flags(first, threshold)
        return Frames(first, sure, likely, power)

    def _flags(self, first: int, threshold: float) -> tuple[Flags, Flags]:
        """Whether speech is sure, and whether it is likely, in each frame from `first` on."""
        if self._count == first:
            return np.zeros(0, bool), np.zeros(0, bool)
        start, end = (first + 0.5) * FRAME_SECONDS, (self._count - 0.5) * FRAME_SECONDS
        if isinstance(self.track, SileroTrack):
            values = self.track.probabilities(start, end)
            lower = max(LOWEST_THRESHOLD, threshold + LIKELY - SURE)
            return values >= threshold, values >= lower
        flags = np.zeros(self._count - first, bool)
        for span in self.track.voiced(start, end):
            begin, last = (round(time / FRAME_SECONDS) - first for time in (span.start, span.end))
            flags[max(0, begin) : last] = True
        return flags, flags
