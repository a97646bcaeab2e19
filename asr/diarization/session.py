"""One recording: windows are segmented as they come, and each local speaker's voice is taken."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from asr.diarization import filter_bank
from asr.diarization.campplus import SIZE, CamPlusPlus
from asr.diarization.diarizer import Diarization, VoiceTurn
from asr.diarization.one_core import OneCore
from asr.diarization.segmentation import (
    CLASSES,
    FRAME_SAMPLES,
    FRAME_STEP,
    LOCAL_SPEAKERS,
    WINDOW_SAMPLES,
    Classes,
    Segmentation,
)
from asr.diarization.turns import NOBODY, SegmentedWindow, turns
from asr.diarization.voiceprints import Speakers, Voiceprints
from asr.options import SpeakerOptions
from asr.pcm import SAMPLE_RATE, Samples

STEP_SAMPLES = 5 * SAMPLE_RATE // 2  # A window begins so long after the one before: 2.5 s.
MOST_FRAMES = 300  # A voice is taken from at most so many frames: 3 s, beyond which it drifts.
LEAST_FRAMES = 20  # From fewer frames, 0.2 s, no voice is taken.

Features = npt.NDArray[np.int64]  # numbers of frames of the filter bank


@dataclass(frozen=True)
class Networks:
    """What all sessions share."""

    segmentation: Segmentation
    voices: CamPlusPlus
    one_core: OneCore

    def voice(self, samples: Samples, frames: Features) -> npt.NDArray[np.float32]:
        """The voice in some frames of the filter bank, a unit vector [SIZE]."""
        device = self.voices.device
        with torch.inference_mode():
            features = self.voices.bank.features(
                torch.from_numpy(samples).to(device), torch.from_numpy(frames).to(device)
            )
            vector: npt.NDArray[np.float32] = self.voices.embedding(features).cpu().numpy()
        return vector / max(float(np.linalg.norm(vector)), 1e-9)


class Waiting:
    """The samples of a recording that windows still need."""

    def __init__(self) -> None:
        self._blocks: deque[Samples] = deque()
        self._start = 0  # of the first block
        self.received = 0  # samples

    def push(self, samples: Samples) -> None:
        """Append samples; the caller may change its own array afterwards."""
        if len(samples):
            self._blocks.append(np.array(samples, np.float32))
            self.received += len(samples)

    def window(self, start: int) -> Samples:
        """The window from `start` on, with silence behind the last sample; drop what is before."""
        while self._blocks and self._start + len(self._blocks[0]) <= start:
            self._start += len(self._blocks.popleft())
        window = np.zeros(WINDOW_SAMPLES, np.float32)
        place = self._start - start
        for block in self._blocks:
            if place >= WINDOW_SAMPLES:
                break
            part = block[max(0, -place) : WINDOW_SAMPLES - place]
            window[max(0, place) : max(0, place) + len(part)] = part
            place += len(block)
        return window


class BuiltinSession:
    """A recording that the built-in networks work on; its state is 3 MB an hour."""

    def __init__(self, networks: Networks, speakers: SpeakerOptions) -> None:
        self._networks = networks
        self._asked = speakers
        self._audio = Waiting()
        self._is_complete = False
        self._worked = 0  # samples that windows have covered
        self._next = 0  # where the next window begins
        self._windows: list[SegmentedWindow] = []
        self._voiceprints = Voiceprints(SIZE)
        self._open: _OpenWindow | None = None

    @property
    def waiting(self) -> float:
        """Seconds of audio that were pushed and not worked on yet."""
        return (self._audio.received - self._worked) / SAMPLE_RATE

    def push(self, samples: Samples) -> None:
        """Take the next samples; nothing is computed."""
        self._audio.push(samples)

    def complete(self) -> None:
        """Note that no samples follow."""
        self._is_complete = True

    def advance(self) -> bool:
        """Segment a window, take one voice, or merge voices; tell whether there is more to do."""
        if not self._has_work:
            return False
        with self._networks.one_core.limit():
            if self._voiceprints.is_full:
                self._voiceprints.fold()
            elif self._open is None:
                self._segment()
            else:
                self._take_voice(self._open)
        return self._has_work

    def finish(self) -> Diarization:
        """Decide who spoke when."""
        if not self._windows:
            return Diarization()
        covered = len(self._windows) * WINDOW_SAMPLES
        overlap = covered / max(self._audio.received, WINDOW_SAMPLES)
        with self._networks.one_core.limit():
            speakers = self._voiceprints.speakers(self._asked, overlap)
            found = turns(self._windows, speakers.labels, self._audio.received)
        return _in_order(found, speakers)

    @property
    def _has_work(self) -> bool:
        if self._voiceprints.is_full or self._open is not None:
            return True
        if self._audio.received >= self._next + WINDOW_SAMPLES:
            return True
        return self._is_complete and self._worked < self._audio.received

    def _segment(self) -> None:
        start = self._next
        if self._audio.received < start + WINDOW_SAMPLES:  # the last window ends with the recording
            start = max(0, self._audio.received - WINDOW_SAMPLES)
        samples = self._audio.window(start)
        classes = self._networks.segmentation.classes(samples)
        self._open = _OpenWindow(start, samples, classes)
        self._next = start + STEP_SAMPLES
        self._worked = min(start + WINDOW_SAMPLES, self._audio.received)
        self._close_if_done(self._open)

    def _take_voice(self, window: _OpenWindow) -> None:
        number, frames = window.left.popleft()
        vector = self._networks.voice(window.samples, frames)
        window.voices[number] = self._voiceprints.add(vector, window.seconds[number])
        self._close_if_done(window)

    def _close_if_done(self, window: _OpenWindow) -> None:
        if not window.left:
            self._windows.append(
                SegmentedWindow(window.start, window.classes, tuple(window.voices))
            )
            self._open = None


class _OpenWindow:
    """A window whose local speakers' voices are being taken."""

    def __init__(self, start: int, samples: Samples, classes: Classes) -> None:
        self.start = start
        self.samples = samples
        self.classes = classes
        self.voices = [NOBODY] * LOCAL_SPEAKERS
        local = CLASSES[classes]  # [frames, LOCAL_SPEAKERS]
        self.seconds: list[float] = (local.sum(0) * FRAME_STEP / SAMPLE_RATE).tolist()
        self.left: deque[tuple[int, Features]] = deque()
        alone = local.sum(1) == 1
        for number in range(LOCAL_SPEAKERS):
            frames = features_of(local[:, number] & alone)
            if len(frames) < LEAST_FRAMES:
                frames = features_of(local[:, number])
            if len(frames) >= LEAST_FRAMES:
                self.left.append((number, frames[:MOST_FRAMES]))


def features_of(active: npt.NDArray[np.bool_]) -> Features:
    """The frames of the filter bank in which a speaker is active, of those of the segmentation."""
    numbers = np.arange(filter_bank.count(WINDOW_SAMPLES))
    middles = numbers * filter_bank.FRAME_STEP + filter_bank.FRAME_SAMPLES // 2
    places = np.rint((middles - FRAME_SAMPLES // 2) / FRAME_STEP).astype(int)
    found: Features = numbers[active[places.clip(0, len(active) - 1)]]
    return found


def _in_order(found: list[VoiceTurn], speakers: Speakers) -> Diarization:
    """Number the speakers by their first turns; those without any are left out."""
    numbers: dict[int, int] = {}
    for turn in found:
        numbers.setdefault(turn.voice, len(numbers))
    return Diarization(
        tuple(VoiceTurn(turn.start, turn.end, numbers[turn.voice]) for turn in found),
        tuple(tuple(speakers.vectors[speaker].tolist()) for speaker in numbers),
    )
