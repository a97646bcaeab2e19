"""Where local speakers speak in the middle of a window, and what their voices are taken from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.diarization import filter_bank
from asr.diarization.segmentation import (
    CLASSES,
    FRAME_SAMPLES,
    FRAME_STEP,
    LOCAL_SPEAKERS,
    WINDOW_SAMPLES,
    Classes,
)
from asr.pcm import SAMPLE_RATE

LONGEST_PAUSE = 9  # A pause of more frames than this, 0.15 s, divides two stretches.
MOST_FEATURES = 300  # A voice is taken from at most so many frames of the filter bank: 3 s.
ENOUGH_FEATURES = 50  # A stretch with fewer, 0.5 s, has the voice of its local speaker's others.
LEAST_FEATURES = 20  # From fewer, 0.2 s, no voice is taken.

Features = npt.NDArray[np.int64]  # numbers of frames of the filter bank
Active = npt.NDArray[np.bool_]  # [frames of the window]
Stretch = tuple[int, int]  # frames of the window, from and to


@dataclass(frozen=True)
class VoiceSample:
    """Stretches of one local speaker, who may be another person behind a pause."""

    features: Features  # that the voice is taken from
    stretches: tuple[Stretch, ...]  # within the frames that were asked for

    @property
    def seconds(self) -> float:
        return sum(end - start for start, end in self.stretches) * FRAME_STEP / SAMPLE_RATE


def voice_samples(classes: Classes, first: int, last: int) -> list[VoiceSample]:
    """Who speaks in the frames from `first` to `last`; voices are taken from around them, too.

    The network takes two people of like voices for one: a voice of each stretch tells them apart.
    """
    local = CLASSES[classes]  # [frames, LOCAL_SPEAKERS]
    alone = local.sum(1) == 1
    found = []
    for number in range(LOCAL_SPEAKERS):
        active, short = local[:, number], list[Stretch]()
        for start, end in runs(active, LONGEST_PAUSE):
            if end <= first or start >= last:
                continue
            inside = np.zeros_like(active)
            inside[start:end] = True
            part = (max(start, first), min(end, last))
            features = features_of(active & alone & inside)
            if len(features) < ENOUGH_FEATURES:
                short.append(part)
            else:
                found.append(VoiceSample(_nearest(features, part), (part,)))
        if short:
            features = features_of(active & alone)
            if len(features) < LEAST_FEATURES:
                features = features_of(active)
            if len(features) >= LEAST_FEATURES:
                found.append(VoiceSample(_nearest(features, short[0]), tuple(short)))
    return found


def runs(active: Active, longest_pause: int) -> list[Stretch]:
    """From where to where a speaker is active, with short pauses closed."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    found: list[Stretch] = []
    for start, end in edges.reshape(-1, 2).tolist():
        if found and start - found[-1][1] <= longest_pause:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def features_of(active: Active) -> Features:
    """The frames of the filter bank in which a speaker is active, of those of the segmentation."""
    numbers = np.arange(filter_bank.count(WINDOW_SAMPLES))
    middles = numbers * filter_bank.FRAME_STEP + filter_bank.FRAME_SAMPLES // 2
    places = np.rint((middles - FRAME_SAMPLES // 2) / FRAME_STEP).astype(int)
    found: Features = numbers[active[places.clip(0, len(active) - 1)]]
    return found


def _nearest(features: Features, part: Stretch) -> Features:
    """At most MOST_FEATURES, those around the middle of a stretch."""
    middle = sum(part) / 2 * FRAME_STEP / filter_bank.FRAME_STEP
    place = int(np.searchsorted(features, middle)) - MOST_FEATURES // 2
    place = max(0, min(place, len(features) - MOST_FEATURES))
    return features[place : place + MOST_FEATURES]
