"""One recording: windows are segmented as they come, and the voice of each stretch is taken."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from asr.diarization.campplus import SIZE, CamPlusPlus
from asr.diarization.diarizer import Diarization, VoiceTurn
from asr.diarization.processors import OneCore
from asr.diarization.segmentation import (
    FRAME_STEP,
    FRAMES,
    WINDOW_SAMPLES,
    Classes,
    Segmentation,
)
from asr.diarization.stretches import Features, VoiceSample, voice_samples
from asr.diarization.turns import VoiceStretch, turns
from asr.diarization.voiceprints import Speakers, Voiceprints
from asr.options import SpeakerOptions
from asr.pcm import SAMPLE_RATE, Samples

STEP_SAMPLES = 5 * SAMPLE_RATE // 2  # A window begins so long after the one before: 2.5 s.
TOGETHER = 4  # So many windows are segmented at once: each takes a fifth less time than alone.
# A voice is taken from a multiple of so many frames: oneDNN keeps code and memory for each length
# that it has met, 350 MB for all up to 300.
LENGTH_STEP = 10


@dataclass(frozen=True)
class Networks:
    """What all sessions share."""

    segmentation: Segmentation
    voices: CamPlusPlus
    one_core: OneCore

    def voice(self, samples: Samples, frames: Features) -> npt.NDArray[np.float32]:
        """The voice in some frames of the filter bank, at least 20, a unit vector [SIZE]."""
        device = self.voices.device
        frames = frames[: len(frames) // LENGTH_STEP * LENGTH_STEP]
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


@dataclass(frozen=True)
class CutWindow:
    """Ten seconds, and the frames of the recording in which they decide who speaks."""

    samples: Samples
    first_frame: int  # of the window, among those of the recording
    decides_from: int  # a frame of the recording
    decides_to: int

    def voice_samples(self, classes: Classes) -> list[VoiceSample]:
        first = self.first_frame
        return voice_samples(classes, self.decides_from - first, self.decides_to - first)


class BuiltinSession:
    """A recording that the built-in networks work on; its state is 1 MB an hour.

    Each window decides who speaks in the 2.5 s in its middle, the first and the last up to the
    ends of the recording, too.
    """

    def __init__(self, networks: Networks, speakers: SpeakerOptions) -> None:
        self._networks = networks
        self._asked = speakers
        self._audio = Waiting()
        self._is_complete = False
        self._is_last = False  # whether the last window has begun
        self._worked = 0  # samples that windows have covered
        self._next = 0  # where the next window begins
        self._decided = 0  # frames up to which it is decided who speaks
        self._left: deque[tuple[CutWindow, VoiceSample]] = deque()  # whose voices are not taken yet
        self._stretches: list[VoiceStretch] = []
        self._voiceprints = Voiceprints(SIZE)

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
        """Segment some windows, take one voice, or merge voices; tell if there is more to do."""
        if not self._has_work:
            return False
        with self._networks.one_core.limit():
            if self._voiceprints.is_full:
                self._voiceprints.fold()
            elif self._left:
                self._take_voice(*self._left.popleft())
            else:
                self._segment()
        return self._has_work

    def finish(self) -> Diarization:
        """Decide who spoke when, or take each stretch as one of its own, where that is asked."""
        if not self._asked.are_grouped:
            return self._ungrouped()
        with self._networks.one_core.limit():
            speakers = self._voiceprints.speakers(self._asked)
        return _in_order(turns(self._stretches, speakers.labels, self._audio.received), speakers)

    def _ungrouped(self) -> Diarization:
        voices = self._voiceprints.apart()
        found = turns(self._stretches, voices.labels, self._audio.received)
        return _in_order(found, voices)

    @property
    def _has_work(self) -> bool:
        if self._voiceprints.is_full or self._left:
            return True
        last = self._next + (TOGETHER - 1) * STEP_SAMPLES
        if self._audio.received > last + WINDOW_SAMPLES:  # so none is the recording's last
            return True
        return self._is_complete and not self._is_last and self._audio.received > 0

    def _segment(self) -> None:
        """Segment the next windows together, fewer at the end of the recording."""
        windows = [self._cut()]
        while len(windows) < TOGETHER and not self._is_last:
            windows.append(self._cut())
        found = self._networks.segmentation.classes([window.samples for window in windows])
        for window, classes in zip(windows, found, strict=True):
            self._left.extend((window, sample) for sample in window.voice_samples(classes))

    def _cut(self) -> CutWindow:
        start, received = self._next, self._audio.received
        self._is_last = received <= start + WINDOW_SAMPLES
        if self._is_last:  # It ends with the recording.
            start = max(0, received - WINDOW_SAMPLES)
        first = round(start / FRAME_STEP)
        middle_end = round((start + (WINDOW_SAMPLES + STEP_SAMPLES) / 2) / FRAME_STEP)
        end = first + FRAMES if self._is_last else middle_end
        window = CutWindow(self._audio.window(start), first, self._decided, end)
        self._decided = end
        self._worked = min(start + WINDOW_SAMPLES, received)
        self._next = start + STEP_SAMPLES
        return window

    def _take_voice(self, window: CutWindow, sample: VoiceSample) -> None:
        vector = self._networks.voice(window.samples, sample.features)
        voice = self._voiceprints.add(vector, sample.seconds)
        self._stretches += (
            VoiceStretch(window.first_frame + start, window.first_frame + end, voice)
            for start, end in sample.stretches
        )


def _in_order(found: list[VoiceTurn], speakers: Speakers) -> Diarization:
    """Number the speakers by their first turns; those without any are left out."""
    numbers: dict[int, int] = {}
    for turn in found:
        numbers.setdefault(turn.voice, len(numbers))
    return Diarization(
        tuple(VoiceTurn(turn.start, turn.end, numbers[turn.voice]) for turn in found),
        tuple(tuple(speakers.vectors[speaker].tolist()) for speaker in numbers),
    )
