"""Real server processes: how they start, where they answer, and how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import PATIENCE_SECONDS, ROOT, tone, wav
from tests.support.processes import answer, controlled, get, post, until


async def test_sigterm_lets_what_is_in_flight_end_and_takes_nothing_new(tmp_path: Path) -> None:
    with controlled(tmp_path, DRAIN_TIMEOUT_S="30") as server:
        server.hold()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            async with session.get(server.url + "/hc") as health:  # its connection stays open
                assert await health.json()
            asked = [
                asyncio.create_task(answer(session, server, wav(tone(float(seconds)))))
                for seconds in range(1, 7)
            ]
            await asyncio.to_thread(until, lambda: server.metric("asr_queue_audio_seconds") == 21)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(until, lambda: not server.answers())
            server.release()
            answers = await asyncio.gather(*asked)
        assert answers == [(200, f" {seconds:.2f} s") for seconds in range(1, 7)]
        assert "waiting for 6 requests, at most DRAIN_TIMEOUT_S=30" in server.log.read_text()
        assert await asyncio.to_thread(server.process.wait, PATIENCE_SECONDS) == 0


async def test_an_upload_in_flight_at_sigterm_is_still_answered(tmp_path: Path) -> None:
    may_end = asyncio.Event()
    data = wav(tone(2.0))

    async def slowly() -> object:
        yield data[:1000]
        await may_end.wait()
        yield data[1000:]

    with controlled(tmp_path, DRAIN_TIMEOUT_S="30") as server:
        async with aiohttp.ClientSession() as session:
            asked = asyncio.create_task(answer(session, server, slowly()))
            await asyncio.to_thread(until, lambda: server.metric("asr_queue_audio_seconds") > 0)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(until, lambda: not server.answers())
            may_end.set()
            assert await asked == (200, " 2.00 s")
        assert await asyncio.to_thread(server.process.wait, PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("sends_all", [True, False])
async def test_what_outlasts_the_drain_limit_does_not_hold_the_exit(
    tmp_path: Path, sends_all: bool
) -> None:
    may_end = asyncio.Event()

    async def body() -> object:
        yield wav(tone(2.0))[: None if sends_all else 1000]
        if not sends_all:
            await may_end.wait()

    with controlled(tmp_path, DRAIN_TIMEOUT_S="2") as server:
        server.hold()
        async with aiohttp.ClientSession() as session:
            asked = asyncio.create_task(answer(session, server, body()))
            await asyncio.to_thread(until, lambda: server.metric("asr_queue_audio_seconds") > 0)
            if sends_all:
                await asyncio.to_thread(
                    until, lambda: server.metric("asr_queue_audio_seconds") == 2
                )
            server.process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(server.process.wait, PATIENCE_SECONDS)
            assert "1 requests are not done after DRAIN_TIMEOUT_S=2" in server.log.read_text()
            if sends_all:
                status, message = await asked
                assert status == 503
                assert "shutting down" in str(message)
            else:
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
        assert code == 0, server.log.read_text()


def test_the_port_is_closed_until_the_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "hold-load").touch()
    with controlled(tmp_path, wait=False) as server:
        until((tmp_path / "loading").exists)
        assert not server.answers()
        (tmp_path / "hold-load").unlink()
        until(server.answers)
        assert get(server, "/hc")[0] == 200
        assert server.stop() == 0


def test_the_collector_is_spared_what_was_loaded(tmp_path: Path) -> None:
    (report := tmp_path / "set-aside").touch()
    with controlled(tmp_path) as server:
        assert post(server, wav(tone(1.0)))[0] == 200
    assert int(report.read_text()) > 50_000  # objects, of the libraries alone


def test_sigterm_while_the_model_computes_its_warm_up_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "hold-load").touch()
    with controlled(tmp_path, wait=False) as server:
        until((tmp_path / "loading").exists)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_SECONDS) == 0
        log = server.log.read_text().splitlines()
        assert "the model is not loaded yet" in log[-2]
        assert log[-1].endswith(" stopped")


def started(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`server.py`, which is expected not to serve."""
    return subprocess.run(
        [sys.executable, str(ROOT / "server.py"), *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def test_a_bad_setting_stops_the_start_and_is_named() -> None:
    done = started(BATCH_SIZE="many")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("configuration: BATCH_SIZE='many' is not a whole number")


def test_the_command_explains_itself_and_takes_no_arguments() -> None:
    done = started("--help")
    assert done.returncode == 0
    assert "environment variables" in done.stdout
    assert "docs/settings.md" in " ".join(done.stdout.split())
    done = started("--port", "80")
    assert done.returncode == 2
    assert "unrecognized arguments: --port 80" in done.stderr


def test_the_log_says_at_which_address_the_server_is_and_how_it_ends(tmp_path: Path) -> None:
    with controlled(tmp_path) as server:
        until(lambda: " start: " in server.log.read_text())
        assert server.stop() == 0
        log = server.log.read_text()
        assert f"listening on {server.url}\n" in log
        assert f"the page: {server.url}\n" in log
        assert "API_KEY" not in log  # nobody else reaches it
        assert "stopping: waiting for 0 requests, at most DRAIN_TIMEOUT_S=30\n" in log
        assert log.endswith(" stopped\n")
