"""Gives voices the names of known speakers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asr.diarization.diarizer import Diarization
from asr.options import KnownSpeaker
from asr.transcript import Speaker, SpeakerTurn

LEAST_COSINE = 0.55  # Two voices with a lower cosine are taken for two people's.


def identify(
    diarization: Diarization, known: Sequence[KnownSpeaker]
) -> tuple[tuple[SpeakerTurn, ...], tuple[str, ...]]:
    """Name the voices that known speakers have, each at most one; those most alike first.

    Returns:
        The turns, and the names of the known speakers that no voice is of.
    """
    names: dict[int, str] = {}
    left = dict(enumerate(known))
    for voice, person in _closest_first(diarization, known):
        if voice not in names and person in left:
            names[voice] = left.pop(person).name
    speakers = [Speaker(voice, names.get(voice)) for voice in range(len(diarization.voices))]
    turns = tuple(
        SpeakerTurn(turn.start, turn.end, speakers[turn.voice]) for turn in diarization.turns
    )
    return turns, tuple(person.name for person in left.values())


def _closest_first(
    diarization: Diarization, known: Sequence[KnownSpeaker]
) -> list[tuple[int, int]]:
    """Voices and known speakers that are alike enough, as indices."""
    if not known or not diarization.voices:
        return []
    voices = np.array(diarization.voices)
    cosines = voices @ np.array([person.voice for person in known]).T
    pairs = zip(*np.nonzero(cosines >= LEAST_COSINE), strict=True)
    return sorted(
        ((int(voice), int(person)) for voice, person in pairs), key=lambda pair: -cosines[pair]
    )
