"""Average linkage: voices that are alike become one, pair by pair, up to a distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]  # [voices, size]
Numbers = npt.NDArray[np.float32]  # [voices]
Labels = npt.NDArray[np.int64]  # [voices], from 0


@dataclass(frozen=True)
class Merge:
    """Two clusters become one; each is named by any voice in it."""

    distance: float  # 1 less the mean cosine of their voices
    first: int
    second: int


def link(vectors: Vectors, weights: Numbers) -> list[Merge]:
    """All merges, the closest first; n voices have n - 1.

    A voice with a weight may stand for several: then it is their mean, and not a unit vector.
    Source: the nearest-neighbour chain (Murtagh, 1983), of time and memory n².

    Args:
        vectors: unit vectors, or means of such.
        weights: of how many voices each is the mean.
    """
    distances = 1 - vectors @ vectors.T  # of clusters: each is in the place of one of its voices
    np.fill_diagonal(distances, np.inf)
    weights, chain, merges = weights.copy(), [0], list[Merge]()
    gone = np.zeros(len(vectors), bool)
    while len(merges) < len(vectors) - 1:
        last = chain[-1] if chain else int(gone.argmin())
        chain = chain or [last]
        row = distances[last]
        nearest = int(row.argmin())
        if len(chain) == 1 or row[nearest] < row[chain[-2]]:
            chain.append(nearest)
            continue
        other = chain[-2]
        del chain[-2:]
        merges.append(Merge(float(row[other]), other, last))
        gone[last] = True
        _merge(distances, weights, other, last)
    return sorted(merges, key=lambda merge: merge.distance)


def _merge(distances: Vectors, weights: Numbers, kept: int, gone: int) -> None:
    """Put the mean of two rows in the place of one, and make the other infinitely far."""
    both = weights[kept] + weights[gone]
    mean = (weights[kept] * distances[kept] + weights[gone] * distances[gone]) / both
    mean[kept] = np.inf
    weights[kept] = both
    distances[kept] = distances[:, kept] = mean
    distances[gone] = distances[:, gone] = np.inf


def labels(voices: int, merges: list[Merge]) -> Labels:
    """The cluster of each voice after some merges."""
    parents = list(range(voices))
    for merge in merges:
        parents[root(parents, merge.second)] = root(parents, merge.first)
    roots = [root(parents, voice) for voice in range(voices)]
    numbered: Labels = np.unique(roots, return_inverse=True)[1]
    return numbered


def root(parents: list[int], voice: int) -> int:
    while parents[voice] != voice:
        parents[voice] = parents[parents[voice]]
        voice = parents[voice]
    return voice


def means(vectors: Vectors, weights: Numbers, found: Labels) -> tuple[Vectors, Numbers]:
    """The weighted mean of each cluster, and its weight."""
    clusters = int(found.max()) + 1
    sums = np.zeros((clusters, vectors.shape[1]), np.float32)
    np.add.at(sums, found, vectors * weights[:, None])
    totals = np.bincount(found, weights, clusters).astype(np.float32)
    return sums / totals[:, None], totals
