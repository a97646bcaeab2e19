"""The memory of all requests together has a limit, and each knows its part of it."""

import logging

import pytest

from asr.errors import RETRY_SECONDS, QueueFull, TooLarge
from asr.resources import container_memory
from asr.resources.memory_budget import (
    DECODER_BYTES,
    LEAST_BYTES,
    MIB,
    SECOND_BYTES,
    BodyMemory,
    MemoryBudget,
)


def container(
    monkeypatch: pytest.MonkeyPatch, limit: int, available: int, resident: int = 300
) -> None:
    """Pretend a container with so many MiB."""
    figures = {"limit": limit, "available": available, "resident": resident}
    for name, mib in figures.items():
        monkeypatch.setattr(container_memory, name, lambda mib=mib: mib * MIB)


@pytest.mark.parametrize(
    ("limit", "available", "resident", "left"),
    [
        (600, 300, 300, 300 - 64),  # a small container keeps 64 MiB free
        (600, 300, 350, 250 - 64),  # pages of the model that are also in the page cache
        (20_000, 9_000, 3000, 9_000 - 2000),  # a machine keeps a tenth free
    ],
)
def test_without_a_setting_the_budget_is_what_the_loaded_model_leaves_less_a_margin(
    monkeypatch: pytest.MonkeyPatch, limit: int, available: int, resident: int, left: int
) -> None:
    container(monkeypatch, limit, available, resident)
    assert MemoryBudget.of(None).total == left * MIB


def test_a_container_that_is_too_small_still_serves_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    container(monkeypatch, 400, 80, 320)
    assert MemoryBudget.of(None).total == LEAST_BYTES
    assert "only 16 MiB of memory are left for requests" in caplog.text


def test_the_setting_counts_and_one_that_is_too_high_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    container(monkeypatch, 600, 300)
    caplog.set_level(logging.WARNING)
    assert MemoryBudget.of(200).total == 200 * MIB
    assert caplog.text == ""
    assert MemoryBudget.of(500).total == 500 * MIB
    assert "MAX_MEMORY_MB=500 is more than the 236 MiB left" in caplog.text


@pytest.mark.parametrize("mib", [48, 150, 236, 700, 20_000])
def test_all_parts_together_are_never_more_than_the_budget(mib: int) -> None:
    budget = MemoryBudget(mib * MIB)
    queue = budget.queue_seconds * SECOND_BYTES
    decoders = budget.decoders * DECODER_BYTES
    assert budget.decoders >= 1
    spare = DECODER_BYTES if budget.decoders == 1 else 0  # one decoder there must be
    assert queue + decoders + budget.bodies <= budget.total + spare
    assert budget.queue_seconds > 120  # a request of some windows is admitted


def test_twenty_four_files_of_five_minutes_do_not_fit_into_600_mib_and_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    container(monkeypatch, 600, 280, 320)
    budget = MemoryBudget.of(None)
    assert budget.queue_seconds < 24 * 300
    most = budget.queue_seconds * SECOND_BYTES + budget.decoders * DECODER_BYTES + budget.bodies
    assert 320 * MIB + most < 600 * MIB


def test_a_reservation_counts_until_it_is_left() -> None:
    memory = BodyMemory(100)
    with memory.reserve(60) as reservation:
        assert memory.held == 60
        reservation.grow(80)
        reservation.grow(70)  # it has more already
        assert memory.held == 80
    assert (memory.held, memory.reservations) == (0, 1)


def test_a_request_for_which_others_leave_no_room_is_asked_to_come_back() -> None:
    memory = BodyMemory(100 * MIB)
    with memory.reserve(60 * MIB):
        with pytest.raises(QueueFull, match=r"hold 60 MiB .* is 100 \(see MAX_MEMORY_MB\)") as told:
            memory.reserve(50 * MIB)
        assert RETRY_SECONDS <= (told.value.retry_after or 0) <= 1.5 * RETRY_SECONDS
        assert memory.held == 60 * MIB
    memory.reserve(50 * MIB)


def test_a_body_that_never_fits_is_too_large() -> None:
    memory = BodyMemory(100 * MIB)
    with pytest.raises(TooLarge, match=r"takes 101 MiB of memory or more, the server has 100"):
        memory.reserve(101 * MIB)


def test_a_reservation_that_cannot_grow_stays_as_it_is() -> None:
    memory = BodyMemory(100)
    with memory.reserve(60) as reservation:
        assert not reservation.has_grown(101)
        assert memory.held == 60
        assert reservation.has_grown(100)


def test_what_a_live_session_holds_grows_and_shrinks_and_is_known_as_such() -> None:
    memory = BodyMemory(100)
    with memory.reserve(10), memory.reserve(20, is_lasting=True) as session:
        assert session.has_changed(80)
        assert not session.has_changed(91)
        assert (memory.held, memory.lasting) == (90, 80)
        assert session.has_changed(30)
        assert (memory.held, memory.lasting) == (40, 30)
    assert (memory.held, memory.lasting) == (0, 0)
