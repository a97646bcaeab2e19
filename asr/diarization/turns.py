"""From local speakers in overlapping windows to the turns of a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.diarization.diarizer import VoiceTurn
from asr.diarization.segmentation import CLASSES, FRAME_SAMPLES, FRAME_STEP, FRAMES, Classes
from asr.pcm import SAMPLE_RATE

BLOCK_FRAMES = 35_000  # Ten minutes are decided at a time, in 35 kB for each speaker.
LONGEST_GAP = 0.25  # A shorter gap, in seconds, between two turns of a speaker is in the turn.
SHORTEST_TURN = 0.1  # Shorter turns, in seconds, are dropped.
SIMULTANEOUS = 2  # The network hears so many speakers at once.
NOBODY = -1

Frames = npt.NDArray[np.bool_]  # [frames, speakers]


@dataclass(frozen=True)
class SegmentedWindow:
    """What was found in one window."""

    start: int  # samples
    classes: Classes
    voices: tuple[int, ...]  # of each local speaker; NOBODY where there is none

    @property
    def first_frame(self) -> int:
        """Its first frame among those of the recording."""
        return round(self.start / FRAME_STEP)


def turns(
    windows: Sequence[SegmentedWindow], speakers: npt.NDArray[np.int64], samples: int
) -> list[VoiceTurn]:
    """The turns of all speakers, by start.

    Args:
        windows: by start.
        speakers: the speaker of each voice.
        samples: length of the recording.
    """
    if not len(speakers):
        return []
    count = int(speakers.max()) + 1
    runs: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for first, active in _blocks(windows, speakers, count):
        for speaker in range(count):
            _append(runs[speaker], first, active[:, speaker])
    found = []
    for speaker, own in enumerate(runs):
        for start, end in own:
            begun, ended = _time(start), min(_time(end), samples / SAMPLE_RATE)
            if ended - begun >= SHORTEST_TURN:
                found.append(VoiceTurn(begun, ended, speaker))
    return sorted(found, key=lambda turn: (turn.start, turn.end))


def _blocks(
    windows: Sequence[SegmentedWindow], speakers: npt.NDArray[np.int64], count: int
) -> Iterator[tuple[int, Frames]]:
    """Who speaks in each frame, a block at a time, with the block's first frame."""
    end = windows[-1].first_frame + FRAMES
    place = 0
    for first in range(0, end, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, end)
        while windows[place].first_frame + FRAMES <= first:
            place += 1
        votes = np.zeros((last - first, count), np.uint8)
        heard = np.zeros((last - first, 2), np.uint8)  # voices, windows
        for window in windows[place:]:
            if window.first_frame >= last:
                break
            _vote(window, speakers, first, votes, heard)
        yield first, _loudest(votes, heard)


def _vote(
    window: SegmentedWindow,
    speakers: npt.NDArray[np.int64],
    first: int,
    votes: npt.NDArray[np.uint8],
    heard: npt.NDArray[np.uint8],
) -> None:
    begin = window.first_frame - first
    inside = slice(max(0, begin), min(len(votes), begin + FRAMES))
    local = CLASSES[window.classes[inside.start - begin : inside.stop - begin]]
    heard[inside, 0] += local.sum(1, dtype=np.uint8)
    heard[inside, 1] += 1
    own: dict[int, Frames] = {}
    for number, voice in enumerate(window.voices):
        if voice != NOBODY:
            speaker = int(speakers[voice])
            own[speaker] = own.get(speaker, False) | local[:, number]
    for speaker, active in own.items():
        votes[inside, speaker] += active


def _loudest(votes: npt.NDArray[np.uint8], heard: npt.NDArray[np.uint8]) -> Frames:
    """In each frame as many speakers as the windows hear in the mean: those with most votes."""
    amount = (2 * heard[:, 0] + heard[:, 1]) // np.maximum(2 * heard[:, 1], 1)
    active = np.zeros(votes.shape, bool)
    rows = np.arange(len(votes))
    left = votes.copy()
    for number in range(SIMULTANEOUS):
        best = left.argmax(1)
        active[rows, best] |= (amount > number) & (left[rows, best] > 0)
        left[rows, best] = 0
    return active


def _append(runs: list[tuple[int, int]], first: int, active: npt.NDArray[np.bool_]) -> None:
    """Append the runs of a block, as frames from and to; small gaps are closed."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0)) + first
    gap = LONGEST_GAP * SAMPLE_RATE / FRAME_STEP
    for start, end in edges.reshape(-1, 2).tolist():
        if runs and start - runs[-1][1] <= gap:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))


def _time(frame: int) -> float:
    """Where a frame's own part begins, in seconds."""
    if frame == 0:
        return 0.0
    return (frame * FRAME_STEP + (FRAME_SAMPLES - FRAME_STEP) // 2) / SAMPLE_RATE
