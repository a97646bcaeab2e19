"""Average linkage, against the plainest way to compute it."""

import itertools

import numpy as np
import pytest

from asr.diarization.clustering import labels, link, means


def unit_vectors(count, seed=0, size=8):
    drawn = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def plainly(vectors, weights):
    """The distances at which the two closest clusters merge, one merge after another."""
    clusters, found = [[number] for number in range(len(vectors))], []

    def distance(first, second):
        pairs = list(itertools.product(first, second))
        total = sum(weights[i] * weights[j] for i, j in pairs)
        products = sum(weights[i] * weights[j] * (vectors[i] @ vectors[j]) for i, j in pairs)
        return 1 - products / total

    while len(clusters) > 1:
        first, second = min(itertools.combinations(clusters, 2), key=lambda pair: distance(*pair))
        found.append(distance(first, second))
        clusters = [each for each in clusters if each not in (first, second)] + [first + second]
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 17])
def test_merges_are_those_of_the_two_closest(count):
    vectors = unit_vectors(count, seed=count)
    weights = np.random.default_rng(count).uniform(1, 5, count).astype(np.float32)
    made = [merge.distance for merge in link(vectors, weights)]
    np.testing.assert_allclose(made, plainly(vectors, weights), atol=1e-5)


def test_a_mean_with_a_weight_stands_for_those_it_was_made_of():
    vectors, ones = unit_vectors(12), np.ones(12, np.float32)
    merges = link(vectors, ones)
    half = labels(12, merges[:6])
    joined = link(*means(vectors, ones, half))
    np.testing.assert_allclose(
        [merge.distance for merge in joined],
        [merge.distance for merge in merges[6:]],
        atol=1e-5,
    )


def test_equal_voices_merge_at_no_distance():
    merges = link(np.repeat(unit_vectors(1), 5, 0), np.ones(5, np.float32))
    assert [abs(merge.distance) < 1e-5 for merge in merges] == [True] * 4
    assert set(labels(5, merges)) == {0}
    assert set(labels(5, [])) == {0, 1, 2, 3, 4}
