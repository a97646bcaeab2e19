"""Turns: beginnings first, then one after the other, and nobody is starved."""

from __future__ import annotations

from collections import Counter

from asr.transcription.admission.turns import Rank, Turns


def taken(turns: Turns[str], count: int, ranks: dict[str, Rank]) -> list[str]:
    """Give out `count` turns; who had one waits again."""
    result = []
    for _ in range(count):
        member = turns.next()
        result.append(member)
        turns.add(member, ranks[member])
    return result


def test_within_a_rank_everybody_is_next_in_turn():
    turns: Turns[str] = Turns()
    ranks = dict.fromkeys("abc", Rank.LATER_WORDS)
    for name, rank in ranks.items():
        turns.add(name, rank)
    assert taken(turns, 7, ranks) == list("abcabca")


def test_who_begins_goes_before_all_who_go_on():
    turns: Turns[str] = Turns()
    for name in "abcdefgh":
        turns.add(name, Rank.LATER_WORDS)
    turns.add("new", Rank.FIRST_WORDS)
    assert turns.next() == "new"
    assert turns.next() == "a"


def test_of_many_who_begin_every_fourth_turn_is_left_to_those_who_go_on():
    turns: Turns[str] = Turns()
    ranks = {"long": Rank.LATER_WORDS, "other": Rank.LATER_WORDS}
    ranks |= {f"clip {number}": Rank.FIRST_WORDS for number in range(50)}
    for name, rank in ranks.items():
        turns.add(name, rank)
    order = taken(turns, 40, ranks)
    assert Counter(order)["long"] == Counter(order)["other"] == 5
    assert order[3::4] == ["long", "other"] * 5


def test_who_is_removed_gets_no_turn():
    turns: Turns[str] = Turns()
    turns.add("a", Rank.LATER_WORDS)
    turns.add("b", Rank.FIRST_WORDS)
    turns.remove("b")
    assert turns.next() == "a"
    assert not turns


def test_a_job_goes_only_where_nobody_else_waits():
    turns: Turns[str] = Turns()
    ranks = {"clip": Rank.FIRST_WORDS, "long": Rank.LATER_WORDS}
    turns.add("job", Rank.JOB)
    assert turns.only_jobs
    for name, rank in ranks.items():
        turns.add(name, rank)
    assert not turns.only_jobs
    assert "job" not in taken(turns, 40, ranks)
    for name in ranks:
        turns.remove(name)
    assert turns.next() == "job"
    assert not turns.only_jobs
