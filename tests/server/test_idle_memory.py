"""Freed memory goes back to the system in idle moments, once after each busy time."""

import pytest

from asr.resources.memory_budget import BodyMemory
from asr.server import idle_memory
from asr.server.idle_memory import IdleMoments
from tests.conftest import eventually


def test_memory_is_given_back_once_after_each_busy_time() -> None:
    memory, looks = BodyMemory(100), []
    moments = IdleMoments(memory)

    def look() -> None:
        looks.append(moments.has_come())

    look()  # nothing has been used yet
    with memory.reserve(10):
        look()  # it is in use
        look()
    look()  # idle since the last look: at least so long it is to be
    look()
    assert looks == [False, False, False, True, False]
    with memory.reserve(10):
        pass
    look()  # a request has come and gone since the last look
    look()
    look()
    assert looks[5:] == [False, True, False]


def test_an_open_live_session_keeps_no_memory_from_being_given_back() -> None:
    memory = BodyMemory(100)
    moments = IdleMoments(memory)
    with memory.reserve(10, is_lasting=True):
        looks = [moments.has_come() for _ in range(3)]
    assert looks == [False, True, False]


async def test_an_app_gives_memory_back_while_it_runs(
    make_client, monkeypatch: pytest.MonkeyPatch
) -> None:
    trims: list[int] = []

    def trim(size: int) -> None:
        trims.append(size)
        if len(trims) == 1:
            raise OSError("a fault that ends no watch")

    monkeypatch.setattr(idle_memory, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(idle_memory, "trim_function", lambda: trim)
    client = await make_client()
    for count in (1, 2):
        await client.post("/asr", data=b"no audio")
        await eventually(lambda count=count: trims == [0] * count)
