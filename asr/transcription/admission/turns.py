"""Whose window goes to the engine next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import IntEnum
from itertools import chain
from typing import Generic, TypeVar

BEFORE_LOWER = 3  # After so many turns a rank leaves one to the ranks below it, if they wait.

Member = TypeVar("Member")


class Rank(IntEnum):
    """The smaller one goes first."""

    LIVE = 0  # somebody is speaking, and reads along
    FIRST_WORDS = 1  # the beginning of a recording
    LATER_WORDS = 2
    JOB = 3  # what nobody waits for; it goes only where nothing else does


class Turns(Generic[Member]):
    """Those who wait for a turn: rank before rank, within a rank one after the other.

    A rank cannot starve those below it, jobs aside: every fourth turn is theirs.
    """

    def __init__(self) -> None:
        self._queues: dict[Rank, deque[Member]] = {rank: deque() for rank in Rank}
        self._turns = dict.fromkeys(Rank, 0)  # that a rank had since it left one to those below

    def __bool__(self) -> bool:
        return any(self._queues.values())

    def __iter__(self) -> Iterator[Member]:
        """Those who wait, in no order of their turns."""
        return chain.from_iterable(self._queues.values())

    def add(self, member: Member, rank: Rank) -> None:
        """Let `member` wait behind the others of its rank."""
        self._queues[rank].append(member)

    def remove(self, member: Member) -> None:
        """Let `member` wait no more."""
        for queue in self._queues.values():
            if member in queue:
                queue.remove(member)

    @property
    def only_jobs(self) -> bool:
        """Whether jobs wait, and nobody else."""
        return bool(self._queues[Rank.JOB]) and not any(
            self._queues[rank] for rank in Rank if rank is not Rank.JOB
        )

    @property
    def has_live(self) -> bool:
        return bool(self._queues[Rank.LIVE])

    def next_live(self) -> Member:
        """Take out the live one whose turn it is, where nobody else can have one."""
        return self._queues[Rank.LIVE].popleft()

    def next(self) -> Member:
        """Take out the one whose turn it is."""
        if self.only_jobs:
            return self._queues[Rank.JOB].popleft()
        waiting = [rank for rank in Rank if self._queues[rank] and rank is not Rank.JOB]
        for rank in waiting[:-1]:
            if self._turns[rank] < BEFORE_LOWER:
                self._turns[rank] += 1
                return self._queues[rank].popleft()
            self._turns[rank] = 0
        return self._queues[waiting[-1]].popleft()
