"""Names whose servers do not answer hold up nothing but other names."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from asr.outbound.fetch import FetchLimits, Outbound
from asr.outbound.lookups import THREADS, Lookups
from asr.outbound.webhook import WebhookSender
from tests.conftest import PATIENCE_SECONDS, eventually
from tests.support.receiver import Receiver


async def test_a_name_is_looked_up() -> None:
    lookups = Lookups()
    [first, *_] = await lookups.resolver().resolve("localhost", 80, socket.AF_UNSPEC)
    assert first["host"] in {"127.0.0.1", "::1"}
    assert first["port"] == 80
    lookups.close()


async def test_names_that_nobody_answers_leave_the_loops_threads_to_others(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, answered, asked = socket.getaddrinfo, threading.Event(), []

    def lookup(host: str, *arguments: Any, **named: Any) -> Any:
        if host == "slow.example":
            asked.append(host)
            answered.wait(PATIENCE_SECONDS)
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return real(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    slow, quick = Outbound(FetchLimits(1, 1, True)), Outbound(FetchLimits(1, 1, True))
    await slow.open()
    await quick.open()
    webhooks = WebhookSender(slow, PATIENCE_SECONDS)
    url = "http://slow.example/"
    waiting = [asyncio.create_task(webhooks.post(url, {}, b"{}")) for _ in range(THREADS + 8)]
    try:
        await eventually(lambda: len(asked) == THREADS)
        async with asyncio.timeout(PATIENCE_SECONDS / 2):
            assert await asyncio.to_thread(lambda: "free") == "free"
            other = WebhookSender(quick, PATIENCE_SECONDS)
            local = receiver.url.replace("127.0.0.1", "localhost")
            assert (await other.post(local, {}, b"{}")).status == 204
    finally:
        answered.set()
    answers = await asyncio.gather(*waiting)
    assert {answer.reason for answer in answers} == {"its host is not known: check its name"}
    await slow.close()
    await quick.close()
