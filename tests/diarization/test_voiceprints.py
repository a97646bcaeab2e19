"""How many people voices are of."""

import numpy as np
import pytest

from asr.diarization.voiceprints import KEPT, MOST_HELD, Voiceprints
from asr.options import SpeakerOptions

SIZE = 32


def voice(person, number, spread=0.2):
    """A voice of a person, who is a number, somewhat different each time."""
    drawn = np.random.default_rng((person, number)).normal(size=SIZE) * spread / SIZE**0.5
    drawn[person] += 1
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def collected(people, seconds=2.0):
    prints = Voiceprints(SIZE)
    for number, person in enumerate(people):
        prints.add(voice(person, number), seconds)
    return prints


def groups(labels):
    return [list(labels).index(label) for label in labels]


def test_voices_that_are_alike_are_one_persons():
    people = [0, 1, 0, 2, 1, 1, 0, 2, 2, 0]
    speakers = collected(people).speakers(SpeakerOptions())
    assert groups(speakers.labels) == groups(people)
    np.testing.assert_allclose(np.linalg.norm(speakers.vectors, axis=1), 1, rtol=1e-5)
    assert [int(vector.argmax()) for vector in speakers.vectors[speakers.labels]] == people


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (SpeakerOptions(count=1), 1),
        (SpeakerOptions(count=2), 2),
        (SpeakerOptions(count=5), 5),
        (SpeakerOptions(most=2), 2),
        (SpeakerOptions(most=9), 4),
        (SpeakerOptions(least=6), 6),
        (SpeakerOptions(least=2), 4),
        (SpeakerOptions(least=2, most=3), 3),
        (SpeakerOptions(count=100), 24),  # more than there are voices
    ],
)
def test_as_many_speak_as_are_asked_for(asked, expected):
    speakers = collected([0, 1, 2, 3] * 6, seconds=4.0).speakers(asked)
    assert len(speakers.vectors) == expected
    assert set(speakers.labels) == set(range(expected))


@pytest.mark.parametrize(
    ("stretches", "seconds", "people"),
    [
        (6, 1.0, 1),
        (6, 2.0, 2),  # the voices are surer
        (24, 1.0, 2),  # and so is the mean of many
    ],
)
def test_in_little_speech_of_short_stretches_a_voice_may_differ_more(stretches, seconds, people):
    prints, other = Voiceprints(SIZE), np.zeros(SIZE, np.float32)
    other[:2] = 0.3, 0.91**0.5  # at a distance of 0.7
    for number in range(stretches):
        prints.add(np.eye(SIZE, dtype=np.float32)[0] if number % 2 else other, seconds)
    assert len(prints.speakers(SpeakerOptions()).vectors) == people


def test_a_voice_of_a_moment_takes_no_place():
    prints = collected([0, 1] * 8)
    prints.add(voice(2, 0), 0.3)
    assert len(prints.speakers(SpeakerOptions()).vectors) == 2
    assert len(prints.speakers(SpeakerOptions(count=2)).vectors) == 2
    assert set(prints.speakers(SpeakerOptions(count=3)).labels) == {0, 1, 2}


def test_who_speaks_little_and_is_far_is_counted_before_others_are_divided():
    prints = collected([0, 0, 1, 1] * 6)
    prints.add(voice(2, 0), 2.0)  # less than a speaker has who is not asked for
    close = prints.add(voice(0, 99, spread=1.0), 6.0)
    assert len(prints.speakers(SpeakerOptions()).vectors) == 2
    labels = prints.speakers(SpeakerOptions(count=3)).labels
    assert groups(labels) == groups([0, 0, 1, 1] * 6 + [2, 0])
    assert labels[close] == labels[0]


def test_nobody_is_no_speaker_and_one_voice_is_one():
    assert len(Voiceprints(SIZE).speakers(SpeakerOptions(count=3)).vectors) == 0
    assert list(collected([4]).speakers(SpeakerOptions()).labels) == [0]


def test_memory_is_bounded_and_who_speaks_stays():
    people = [number % 7 for number in range(2 * MOST_HELD)]
    prints = Voiceprints(SIZE)
    for number, person in enumerate(people):
        prints.add(voice(person, number), 2.0)
        if prints.is_full:
            prints.fold()
            assert len(prints._vectors) == KEPT
    assert len(prints._vectors) + len(prints._new) < MOST_HELD
    speakers = prints.speakers(SpeakerOptions())
    assert groups(speakers.labels) == groups(people)


def test_voices_that_are_not_grouped_are_each_ones_own():
    prints = Voiceprints(2)
    assert prints.apart().vectors.shape == (0, 2)
    for vector in ([1.0, 0.0], [1.0, 0.0], [0.0, 1.0]):
        prints.add(np.array(vector, np.float32), 1.0)
    apart = prints.apart()
    assert apart.labels.tolist() == [0, 1, 2]
    assert apart.vectors.tolist() == [[1, 0], [1, 0], [0, 1]]


@pytest.mark.parametrize(("strays", "people"), [(1, 2), (4, 3)])
def test_in_an_hour_some_stray_seconds_are_nobody_elses(strays, people):
    spoken = [0, 1] * 300 + [2] * strays  # 50 minutes, and 7 or 28 seconds
    speakers = collected(spoken, seconds=5.0)
    for number in range(strays):
        speakers.add(voice(2, number), 2.0)
    assert len(speakers.speakers(SpeakerOptions()).vectors) == people
