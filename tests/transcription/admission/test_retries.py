"""Retry-After: from the measured pace, and for each refused caller another moment."""

from __future__ import annotations

import itertools

import pytest

from asr.transcription.admission.retries import LONGEST_SECONDS, SHORTEST_SECONDS, RetryTimes


@pytest.fixture
def retries(clock, monkeypatch):  # noqa: ARG001
    monkeypatch.setattr("random.uniform", lambda low, high: (low + high) / 2)
    return RetryTimes()


def test_callers_who_are_refused_at_once_come_back_one_after_the_other(retries):
    retries.note_work(100.0, 10.0)
    for _ in range(200):
        retries.note_request(20.0)
    waits = [retries.wait(60.0, 60.0) for _ in range(8)]
    assert waits == sorted(waits)
    apart = [later - sooner for sooner, later in itertools.pairwise(waits[:3])]
    assert apart == pytest.approx([2.25, 2.25], abs=0.2)  # 20 s at ten times real time, and jitter


def test_the_pace_counts_steps_without_a_result(retries):
    for _ in range(9):
        retries.note_work(0.0, 1.0)
    retries.note_work(30.0, 1.0)
    assert retries.pace == pytest.approx(3.0, rel=0.3)


def test_the_pace_follows_the_engine(retries):
    retries.note_work(1000.0, 10.0)
    for _ in range(200):
        retries.note_work(2.0, 1.0)
    assert retries.pace == pytest.approx(2.0, rel=0.2)


def test_before_anything_is_measured_callers_come_back_soon_and_not_together():
    waits = {RetryTimes().wait(60.0, 60.0) for _ in range(20)}
    assert len(waits) == 20
    assert all(SHORTEST_SECONDS <= wait <= 5.0 for wait in waits)


def test_nobody_waits_longer_than_clients_allow_and_a_flood_does_not_return_at_once():
    retries = RetryTimes()
    retries.note_work(10.0, 10.0)
    waits = [retries.wait(900.0, 900.0) for _ in range(1000)]
    assert all(SHORTEST_SECONDS <= wait <= LONGEST_SECONDS for wait in waits)
    assert len({round(wait) for wait in waits[-500:]}) > 20


def test_callers_who_never_come_back_do_not_add_up(retries):
    retries.note_work(100.0, 10.0)
    waits = [retries.wait(60.0, 60.0) for _ in range(1000)]
    assert max(waits) < 10  # what two full queues need at ten times real time is 12 s
