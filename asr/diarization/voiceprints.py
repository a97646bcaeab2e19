"""The voices of one recording as they are collected, and how many people they are of."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from asr.diarization import clustering
from asr.diarization.clustering import Labels, Merge, Numbers, Vectors
from asr.options import SpeakerOptions

# Voices are merged up to this distance, 1 less the mean cosine: above it they are different people.
DISTANCE = 0.6
# Up to this one where there is little speech in short stretches, from which a voice is less sure.
UNSURE_DISTANCE = 0.75
LITTLE_SECONDS = 20.0  # A recording with less speech has little.
SHORT_SECONDS = 1.5  # Stretches are short where half of the speech lies in shorter ones.
MOST_HELD = 1_500  # With so many, the closest are merged: 0.1 s of one core, 9 MB for a while.
KEPT = 500  # So many remain then: only pairs that are nearly equal have been merged.
LEAST_SECONDS = 5.0  # A cluster with less speech than this is no speaker but goes to the closest.
LONG_SHARE = 0.003  # In a long recording one needs this share: stray voices come together in time.
LEAST_SHARE = 0.1  # In a short recording one with this share of the speech is a speaker, too,
FEWEST_SECONDS = 1.5  # if it has so many seconds: the voice in fewer differs from itself.


@dataclass(frozen=True)
class Speakers:
    """The people that voices are of."""

    labels: Labels  # of each voice in the order in which they were added
    vectors: Vectors  # [speakers, size], unit vectors


class Voiceprints:
    """Collects the voices of local speakers; memory is bounded but for 8 bytes for each."""

    def __init__(self, size: int) -> None:
        self._vectors: Vectors = np.zeros((0, size), np.float32)
        self._weights: Numbers = np.zeros(0, np.float32)
        self._seconds: Numbers = np.zeros(0, np.float32)
        self._new: list[tuple[Vectors, float]] = []  # added since these arrays were made
        self._places = array("q")  # of each added voice in the arrays

    @property
    def is_full(self) -> bool:
        """Whether `fold` is due."""
        return len(self._weights) + len(self._new) >= MOST_HELD

    def add(self, vector: Vectors, seconds: float) -> int:
        """Add a voice, a unit vector [size], and the seconds that it speaks; give its number."""
        self._places.append(len(self._weights) + len(self._new))
        self._new.append((vector, seconds))
        return len(self._places) - 1

    def fold(self) -> None:
        """Merge the closest voices."""
        self._collect()
        merges = clustering.link(self._vectors, self._weights)
        self._merge(clustering.labels(len(self._weights), merges[: len(self._weights) - KEPT]))

    def speakers(self, asked: SpeakerOptions) -> Speakers:
        """Decide who the speakers are, as many as `asked` allows."""
        self._collect()
        if not len(self._places):
            return Speakers(np.zeros(0, np.int64), self._vectors)
        seconds = self._seconds
        merges = clustering.link(self._vectors, self._weights)
        cut = choose_cut(merges, seconds, asked)
        found = _without_small(
            clustering.labels(len(seconds), cut.made),
            self._vectors,
            self._weights,
            seconds,
            cut.least_seconds,
        )
        vectors, _ = clustering.means(self._vectors, self._weights, found)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return Speakers(found[np.asarray(self._places)], vectors / np.maximum(lengths, 1e-9))

    def apart(self) -> Speakers:
        """Take each voice for another person's, but for those that `fold` has merged."""
        self._collect()
        lengths = np.linalg.norm(self._vectors, axis=1, keepdims=True)
        places = np.asarray(self._places, np.int64)
        return Speakers(places, self._vectors / np.maximum(lengths, 1e-9))

    def _collect(self) -> None:
        if self._new:
            added = np.stack([vector for vector, _ in self._new])
            seconds = np.array([seconds for _, seconds in self._new], np.float32)
            self._vectors = np.concatenate([self._vectors, added])
            self._weights = np.concatenate([self._weights, np.ones(len(added), np.float32)])
            self._seconds = np.concatenate([self._seconds, seconds])
            self._new = []

    def _merge(self, found: Labels) -> None:
        self._vectors, self._weights = clustering.means(self._vectors, self._weights, found)
        self._seconds = np.bincount(found, self._seconds).astype(np.float32)
        self._places = array("q", found[np.asarray(self._places)].tobytes())


@dataclass(frozen=True)
class Cut:
    """Which voices are merged."""

    made: list[Merge]
    least_seconds: float  # of speech, that a cluster must have to be a speaker


def choose_cut(merges: list[Merge], seconds: Numbers, asked: SpeakerOptions) -> Cut:
    """Merge up to a distance, or to as many speakers as are asked for.

    Where more are asked for, first those count who speak little and are far from all others, and
    then the farthest parts of a speaker.
    """
    total = float(seconds.sum())
    least = min(LEAST_SECONDS, max(FEWEST_SECONDS, LEAST_SHARE * total))
    least = max(least, LONG_SHARE * total)
    far = distance_between(seconds)
    near = [merge for merge in merges if merge.distance <= far]
    speakers = _large(near, seconds, least)
    wanted = _allowed(speakers, asked)
    if wanted == speakers:
        return Cut(near, least)
    if wanted == 1:
        return Cut(merges, 0.0)
    any_distance = -np.inf
    for distance, smaller in (
        (far, least),
        (far, least / 3),
        (any_distance, least),
        (any_distance, least / 3),
        (any_distance, 0.0),
    ):
        made = _made(merges, seconds, smaller, wanted, (distance, far))
        if made is not None and _large(made, seconds, smaller) == wanted:
            return Cut(made, smaller)
    return Cut([], 0.0)  # There are fewer voices than speakers that are asked for.


def distance_between(seconds: Numbers) -> float:
    """The distance from which on voices are different people's.

    Args:
        seconds: of speech, of each voice.
    """
    total = float(seconds.sum())
    if total >= LITTLE_SECONDS:
        return DISTANCE
    ascending = np.sort(seconds)
    middle = ascending[np.searchsorted(ascending.cumsum(), total / 2)]
    return UNSURE_DISTANCE if middle < SHORT_SECONDS else DISTANCE


def _made(
    merges: list[Merge],
    seconds: Numbers,
    least: float,
    wanted: int,
    distances: tuple[float, float],
) -> list[Merge] | None:
    """The merges that leave so many speakers apart; None where they are too close.

    Args:
        distances: speakers are farther apart than the first; up to the other, all are merged that
            join no two speakers.
    """
    apart_by, near = distances
    joining = _joining(merges, seconds, least)
    if len(joining) < wanted - 1 or merges[joining[1 - wanted]].distance <= apart_by:
        return None
    speakers, apart = set(joining), joining[1 - wanted]
    return [
        merge
        for number, merge in enumerate(merges[:apart])
        if number in speakers or merge.distance <= near
    ]


def _joining(merges: list[Merge], seconds: Numbers, least: float) -> list[int]:
    """The numbers of the merges that make one speaker of two who have enough speech each."""
    held = seconds.astype(float).tolist()
    parents, found = list(range(len(held))), []
    for number, merge in enumerate(merges):
        first = clustering.root(parents, merge.first)
        second = clustering.root(parents, merge.second)
        if min(held[first], held[second]) >= least:
            found.append(number)
        parents[second] = first
        held[first] += held[second]
    return found


def _allowed(speakers: int, asked: SpeakerOptions) -> int:
    if asked.count is not None:
        return asked.count
    speakers = max(speakers, asked.least or 1)
    return speakers if asked.most is None else min(speakers, asked.most)


def _large(made: list[Merge], seconds: Numbers, least: float) -> int:
    """How many clusters have enough speech."""
    return int((np.bincount(clustering.labels(len(seconds), made), seconds) >= least).sum())


def _without_small(
    found: Labels, vectors: Vectors, weights: Numbers, seconds: Numbers, least: float
) -> Labels:
    """Give each cluster with too little speech to the closest of the others."""
    centres, _ = clustering.means(vectors, weights, found)
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    totals = np.bincount(found, seconds)
    large = np.flatnonzero(totals >= min(least, totals.max()))
    closest: Labels = (centres @ centres[large].T).argmax(1)
    closest[large] = np.arange(len(large))
    return closest[found]
