"""A soak's verdicts: growth, leaks, failures, restarts and drift are found, small changes pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmark.reliability.usage import Usage
from benchmark.soak.callers import Outage
from benchmark.soak.cards import Reply, bare
from benchmark.soak.judge import FEWEST, Moment, Record, verdicts

EMPTY = Usage(rss=400, children_pss=0, descriptors=30, threads=20, files=0, children=0)
HOUR = 3600.0


def record(usage_at: Callable[[float], Usage]) -> Record:
    """A soak of an hour with a quiet moment each minute."""
    made = Record(0.0, HOUR)
    made.moments = [Moment(60.0 * n, n / 60, usage_at(60.0 * n)) for n in range(1, 61)]
    made.exits = [(0, 1.0)]
    return made


def failing(judged: Record) -> list[str]:
    return [row.name for row in verdicts(judged) if row.passes is False]


def test_a_server_that_stays_as_it_is_passes() -> None:
    assert failing(record(lambda _: EMPTY)) == []


def test_growth_in_the_first_half_is_no_leak() -> None:
    grown = record(lambda at: replace(EMPTY, rss=400 + min(at, 1700)))
    assert failing(grown) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda at: {"rss": 400 + at / 10}, "RSS growth from the middle on"),
        (lambda at: {"descriptors": int(at / 60)}, "descriptors, growth from the middle on"),
        (lambda at: {"threads": int(at / 60)}, "threads, growth from the middle on"),
        (lambda at: {"files": int(at > 3000)}, "temporary files left when nobody calls"),
        (lambda at: {"children": int(at == 600)}, "children left when nobody calls"),
    ],
)
def test_what_grows_or_is_left_is_named(change: Callable[[float], dict], name: str) -> None:
    assert name in failing(record(lambda at: replace(EMPTY, **change(at))))


def test_a_soak_that_was_too_short_to_judge_growth_says_so() -> None:
    short = Record(0.0, 60.0, [Moment(59.0, 1.0, EMPTY)])
    growth = next(row for row in verdicts(short) if row.name.startswith("RSS"))
    assert (growth.passes, growth.word) == (None, "not measured")


CARD = bare("/asr", method="POST")


def note(made: Record, status: int, sent: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Note an answer that took a second."""
    monkeypatch.setattr("benchmark.soak.callers.time.monotonic", lambda: sent + 1)
    made.outcomes.note(CARD, sent, Reply(status, "a", "", 1.0), "a")


@pytest.mark.parametrize(
    ("outage", "sent", "verdict"),
    [
        (None, 10.0, "unexpected 5xx, other statuses and broken connections"),
        (Outage(True, 10.9, 12.0), 10.0, "requests in flight at SIGTERM and not answered"),
        (Outage(True, 10.0, 12.0), 11.5, None),  # it came while the server was down
        (Outage(False, 10.9, 12.0), 10.0, None),  # killed
        (Outage(True, 20.0, 22.0), 10.0, "unexpected 5xx, other statuses and broken connections"),
    ],
)
def test_an_error_counts_unless_the_server_was_down(
    monkeypatch: pytest.MonkeyPatch, outage: Outage | None, sent: float, verdict: str | None
) -> None:
    made = record(lambda _: EMPTY)
    made.outcomes.outages += [outage] if outage else []
    note(made, 503, sent, monkeypatch)
    assert failing(made) == ([verdict] if verdict else [])


def test_a_text_unlike_the_solo_run_is_named() -> None:
    made = record(lambda _: EMPTY)
    made.outcomes.note(CARD, 0.0, Reply(200, "another's", "", 1.0), "mine")
    assert failing(made) == ["texts unlike those of a caller who is alone"]


@pytest.mark.parametrize(("last", "fails"), [(1.09, False), (1.2, True)])
def test_a_latency_that_drifts_is_named(last: float, fails: bool) -> None:
    made = record(lambda _: EMPTY)
    made.outcomes.good = [(0.5 * HOUR + n / 2, 1.0) for n in range(FEWEST)]
    made.outcomes.good += [(0.75 * HOUR + n / 2, last) for n in range(FEWEST)]
    assert failing(made) == (["p95 of the last quarter beside the third"] if fails else [])


@pytest.mark.parametrize("exit_", [(1, 1.0), (0, 600.0)])
def test_an_exit_that_is_late_or_failed_is_named(exit_: tuple[int, float]) -> None:
    made = record(lambda _: EMPTY)
    made.exits = [exit_]
    assert failing(made) == ["exit after SIGTERM, with its code"]
