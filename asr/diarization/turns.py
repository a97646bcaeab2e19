"""From the stretches of windows to the turns of a recording."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.diarization.diarizer import VoiceTurn
from asr.diarization.segmentation import FRAME_SAMPLES, FRAME_STEP
from asr.pcm import SAMPLE_RATE

LONGEST_GAP = 15  # A gap of no more frames, 0.25 s, between two turns of a speaker is in the turn.
SHORTEST_TURN = 0.1  # Shorter turns, in seconds, are dropped.


@dataclass(frozen=True)
class VoiceStretch:
    """Frames of the recording in which a voice is heard."""

    start: int
    end: int
    voice: int


def turns(
    stretches: Iterable[VoiceStretch], speakers: npt.NDArray[np.int64], samples: int
) -> list[VoiceTurn]:
    """The turns of all speakers, by start.

    Args:
        stretches: of all voices.
        speakers: the speaker of each voice.
        samples: length of the recording.
    """
    joined: list[VoiceStretch] = []
    last: dict[int, int] = {}  # of each speaker, in `joined`
    for stretch in sorted(stretches, key=lambda each: (each.start, each.end)):
        speaker = int(speakers[stretch.voice])
        place = last.get(speaker)
        if place is not None and stretch.start - joined[place].end <= LONGEST_GAP:
            before = joined[place]
            joined[place] = VoiceStretch(before.start, max(before.end, stretch.end), speaker)
        else:
            last[speaker] = len(joined)
            joined.append(VoiceStretch(stretch.start, stretch.end, speaker))
    length = samples / SAMPLE_RATE
    found = [
        VoiceTurn(_time(each.start), min(_time(each.end), length), each.voice) for each in joined
    ]
    kept = [turn for turn in found if turn.end - turn.start >= SHORTEST_TURN]
    return sorted(kept, key=lambda turn: (turn.start, turn.end))


def _time(frame: int) -> float:
    """Where a frame's own part begins, in seconds."""
    if frame == 0:
        return 0.0
    return (frame * FRAME_STEP + (FRAME_SAMPLES - FRAME_STEP) // 2) / SAMPLE_RATE
