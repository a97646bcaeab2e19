"""Which connection gives way to a new one, and which are closed because they take too long."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from asr.server.connection_pool import RESERVE, UNREAD_SECONDS, ConnectionPool


@dataclass(eq=False)
class Transport:
    """Stands for a socket."""

    closing: bool = False
    aborted: bool = False

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted = True


@dataclass(eq=False)
class Caller:
    """Stands for a connection."""

    transport: Transport = field(default_factory=Transport)
    is_idle: bool = True
    head_since: float | None = None

    def force_close(self) -> None:
        self.transport.closing = True


class House:
    """A pool with a clock that a test moves."""

    def __init__(self, limit: int) -> None:
        self.now = 0.0
        self.pool = ConnectionPool(limit, head_seconds=10, clock=lambda: self.now)

    def enter(self, caller: Caller) -> bool:
        return self.pool.enter(caller, caller.transport)  # type: ignore[arg-type]


def test_the_connection_that_has_been_idle_for_longest_gives_way() -> None:
    house, callers = House(3), [Caller() for _ in range(3)]
    assert all(house.enter(caller) for caller in callers)
    house.pool.busy(callers[0])
    house.pool.answered(callers[0])  # so that the second is the oldest now
    assert house.enter(Caller())
    assert [caller.transport.closing for caller in callers] == [False, True, False]


def test_a_busy_connection_never_gives_way() -> None:
    house, callers = House(2), [Caller(is_idle=False) for _ in range(2)]
    for caller in callers:
        house.enter(caller)
        house.pool.busy(caller)
    late = Caller()
    assert not house.enter(late)  # and may send health checks alone
    assert not late.transport.aborted
    assert not any(caller.transport.closing for caller in callers)


def test_a_connection_that_is_about_to_be_served_does_not_give_way() -> None:
    house, caller = House(1), Caller(is_idle=False)  # its request has come, and not its turn
    house.enter(caller)
    assert not house.enter(Caller())
    assert not caller.transport.closing


def test_beyond_the_reserve_a_connection_is_dropped() -> None:
    house = House(1)
    callers = [Caller(is_idle=False) for _ in range(RESERVE + 2)]
    assert [house.enter(caller) for caller in callers] == [True] + [False] * (RESERVE + 1)
    assert [caller.transport.aborted for caller in callers] == [False] * (RESERVE + 1) + [True]
    house.pool.leave(callers[0])
    house.pool.leave(callers[1])
    assert not house.enter(Caller())  # the reserve itself is still above the limit


def test_a_lost_connection_makes_room() -> None:
    house, busy = House(1), Caller(is_idle=False)
    house.enter(busy)
    house.pool.leave(busy)
    assert house.enter(Caller())


@pytest.mark.parametrize("is_idle", [True, False])
def test_a_head_that_takes_too_long_is_given_up(is_idle: bool) -> None:
    house, slow, other = House(4), Caller(is_idle=is_idle), Caller()
    house.enter(slow)
    house.enter(other)
    slow.head_since = 1.0
    house.now = 11.0
    house.pool.sweep()
    assert not slow.transport.closing
    house.now = 11.5
    house.pool.sweep()
    assert (slow.transport.closing, other.transport.closing) == (is_idle, False)


def test_a_closed_connection_whose_answer_is_never_read_is_dropped() -> None:
    house, deaf = House(4), Caller()
    house.enter(deaf)
    deaf.force_close()
    house.pool.sweep()
    house.now = UNREAD_SECONDS
    house.pool.sweep()
    assert not deaf.transport.aborted
    house.now += 1
    house.pool.sweep()
    assert deaf.transport.aborted
