"""Decoded audio lies at the times of its container, however its clock runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from asr.audio.timeline import (
    LONGEST_SECONDS,
    MOST_SECONDS,
    SHORTEST_SECONDS,
    ClockMark,
    Timeline,
    clock_start,
)
from asr.pcm import BLOCK_SECONDS, SAMPLE_RATE

SECOND = np.ones(SAMPLE_RATE, np.float32)


def placed(
    marks: Sequence[tuple[float, float]], seconds: int = 4, start: float = 0.0
) -> list[tuple[float, float]]:
    """Place so many seconds of sound; return where it sounds, in seconds.

    Args:
        marks: positions and times; each is told before the second in which its position lies.
    """
    timeline, parts, left = Timeline(start), [], list(marks)
    for second in range(seconds):
        while left and left[0][0] < second + 1:
            timeline.mark(ClockMark(*left.pop(0)))
        parts += timeline.placed(SECOND)
    whole = np.concatenate([[0], *parts, [0]])
    edges = np.flatnonzero(np.diff(whole)) / SAMPLE_RATE
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def test_a_clock_that_runs_with_the_audio_changes_nothing() -> None:
    timeline = Timeline(0.0)
    timeline.mark(ClockMark(0.0, 0.0))
    assert [block is SECOND for block in timeline.placed(SECOND)] == [True]


@pytest.mark.parametrize("first", [0.0, 0.0231, 0.128, -0.007, -0.5])
def test_the_padding_of_encoders_is_no_late_start(first: float) -> None:
    assert placed([(0.0, first)]) == [(0.0, 4.0)]


def test_a_late_start_is_silence() -> None:
    assert placed([(0.0, 4.087)]) == [(4.087, 8.087)]
    assert placed([(0.0, 5.487)], start=1.4) == [(pytest.approx(4.087), pytest.approx(8.087))]


def test_holes_are_silence_where_they_are() -> None:
    marks = [(0.0, 0.0), (1.25, 3.25), (3.5, 6.5)]
    assert placed(marks) == [(0.0, 1.25), (3.25, 5.5), (6.5, 7.0)]


def test_two_holes_in_one_block_are_two() -> None:
    assert placed([(0.0, 0.0), (0.25, 1.25), (0.5, 2.5)], 1) == [
        (0.0, 0.25),
        (1.25, 1.5),
        (2.5, 3.0),
    ]


def test_a_clock_that_trembles_adds_no_more_than_its_largest_lead() -> None:
    marks = [(0.25 * i, 0.25 * i + (0.15 if i % 2 else -0.15)) for i in range(16)]
    assert placed(marks)[-1][1] == pytest.approx(4.15)


def test_what_was_late_is_taken_from_the_next_hole() -> None:
    assert placed([(0.0, 0.0), (1.0, 0.5), (2.0, 3.0)]) == [(0.0, 2.0), (3.0, 5.0)]


@pytest.mark.parametrize("back", [-2.0, -3600.0, -1e9])
def test_a_clock_that_starts_again_loses_nothing(back: float) -> None:
    marks = [(0.0, 10.0), (2.0, 12.0 + back), (3.0, 14.0 + back)]
    assert placed(marks, start=10.0) == [(0.0, 3.0), (4.0, 5.0)]


@pytest.mark.parametrize("jump", [LONGEST_SECONDS + 1, 86_400 * 365.0, 1e12])
def test_a_jump_over_hours_is_another_clock_and_no_silence(jump: float) -> None:
    assert placed([(0.0, jump)]) == [(0.0, 4.0)]
    assert placed([(0.0, 0.0), (2.0, 2 + jump), (3.0, 4 + jump)]) == [(0.0, 3.0), (4.0, 5.0)]


def test_all_silence_together_is_bounded() -> None:
    timeline, count = Timeline(0.0), 0
    for second in range(40):
        timeline.mark(ClockMark(float(second), second + 3600.0 * (second + 1)))
        count += sum(map(len, timeline.placed(SECOND)))
    assert MOST_SECONDS - LONGEST_SECONDS <= count / SAMPLE_RATE - 40 <= MOST_SECONDS


def test_an_hour_of_silence_is_given_out_in_blocks() -> None:
    timeline = Timeline(0.0)
    timeline.mark(ClockMark(0.0, LONGEST_SECONDS))
    sizes = [len(block) for block in timeline.placed(SECOND)]
    assert max(sizes) <= BLOCK_SECONDS * SAMPLE_RATE
    assert sum(sizes) == (LONGEST_SECONDS + 1) * SAMPLE_RATE


def test_where_the_decoder_begins_anew_the_clock_goes_on() -> None:
    marks = [(0.0, 0.0), (0.5, 1.5), (0.0, 3.0), (0.5, 4.5)]
    timeline, parts = Timeline(0.0), []
    for mark in marks[:2]:
        timeline.mark(ClockMark(*mark))
    parts += [*timeline.placed(SECOND), *timeline.placed(SECOND)]
    for mark in marks[2:]:
        timeline.mark(ClockMark(*mark))
    parts += timeline.placed(SECOND)
    silent = np.flatnonzero(np.concatenate(parts) == 0) / SAMPLE_RATE
    assert (silent[0], len(silent)) == (0.5, 2 * SAMPLE_RATE)
    assert silent[-1] == pytest.approx(4.5, abs=1e-3)


def test_where_decoder_and_clock_begin_anew_nothing_is_lost() -> None:
    timeline, parts = Timeline(1.4), []
    timeline.mark(ClockMark(0.0, 1.4))
    parts += timeline.placed(SECOND)
    timeline.mark(ClockMark(0.0, 1.4))
    parts += timeline.placed(SECOND)
    assert np.array_equal(np.concatenate(parts), np.concatenate([SECOND, SECOND]))


def test_containers_without_a_clock_have_none() -> None:
    assert clock_start("mov,mp4,m4a,3gp,3g2,mj2", 4.087) == 0.0
    assert clock_start("matroska,webm", None) == 0.0
    assert clock_start("mpegts", 1.4) == 1.4
    assert clock_start("mpegts", None) is None
    assert clock_start("mp3", 0.025) is None
    assert clock_start("avi", 0.0) is None
    assert 0 < SHORTEST_SECONDS < 1


def test_a_hole_is_silence_in_all_channels() -> None:
    timeline = Timeline(0.0)
    timeline.mark(ClockMark(0.0, 0.0))
    timeline.mark(ClockMark(1.0, 3.0))
    placed = np.concatenate([*timeline.placed(np.ones((2 * SAMPLE_RATE, 2), np.float32))])
    assert placed.shape == (4 * SAMPLE_RATE, 2)
    assert placed[SAMPLE_RATE : 3 * SAMPLE_RATE].max() == 0.0
