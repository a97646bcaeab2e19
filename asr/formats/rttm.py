"""Writes who speaks when as RTTM, NIST's Rich Transcription Time Marked."""

from __future__ import annotations

from collections.abc import Iterable

from asr.transcript import SpeakerTurn

RECORDING = "audio"  # The name of a recording in each line, where it has no other.


def rttm(turns: Iterable[SpeakerTurn], recording: str = RECORDING) -> str:
    """Return a line for each turn: its start and length in seconds, and its speaker.

    The fields are separated by spaces, so white space in names becomes "_". A turn shorter than
    half a millisecond is left out.
    """
    name = _field(recording)
    lines = []
    for turn in turns:
        seconds = round(turn.end, 3) - round(turn.start, 3)
        if seconds >= 0.0005:
            speaker = _field(turn.speaker.label)
            times = f"{turn.start:.3f} {seconds:.3f}"
            lines.append(f"SPEAKER {name} 1 {times} <NA> <NA> {speaker} <NA> <NA>\n")
    return "".join(lines)


def _field(text: str) -> str:
    return "_".join(text.split()) or "_"
