"""A burst beyond the queue's limit: who is accepted is answered, all others know when to come."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmark.reliability.burst import send_at_once
from tests.conftest import tone, wav
from tests.support.processes import controlled, get, until

AT_ONCE = 300


async def test_a_burst_is_answered_to_the_last_request(tmp_path: Path) -> None:
    with controlled(tmp_path, MAX_QUEUE_SECONDS="60", LOG_LEVEL="WARNING") as server:
        server.hold()
        sending = asyncio.create_task(send_at_once(server.port, wav(tone(2.0)), AT_ONCE))
        await asyncio.to_thread(until, lambda: server.metric("asr_queue_audio_seconds") >= 30)
        server.release()
        burst = await sending
        assert burst.failures == {}
        assert burst.accepted + burst.refused == AT_ONCE
        assert burst.refused > AT_ONCE / 2
        assert burst.accepted >= 10
        assert burst.without_retry_after == 0
        assert (await asyncio.to_thread(get, server, "/hc"))[0] == 200
        await asyncio.to_thread(until, lambda: server.metric("asr_queue_audio_seconds") == 0)
        assert await asyncio.to_thread(server.stop) == 0
        assert "Traceback" not in server.log.read_text()
