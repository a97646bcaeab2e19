"""Servers of tests that run at the same time never want the same port."""

import random

import pytest

from tests.conftest import PORTS, Ports


def test_no_two_processes_of_tests_are_given_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has `Ports` of its own; the worst is that they try the same blocks."""
    given: list[int] = []
    for _ in range(3):
        tried = iter(PORTS)
        monkeypatch.setattr(random, "choice", lambda _, tried=tried: next(tried))
        ports = Ports()
        given += [ports.next() for _ in range(2 * PORTS.step)]
    assert len(set(given)) == len(given)
    assert min(given) >= PORTS.start
    assert max(given) < PORTS.stop
