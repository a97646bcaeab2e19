"""The load generator as a program: its levels, its exit codes, its arguments."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr.engines.engine import Window, WindowResult
from benchmark.load import sweep
from tests.benchmark.conftest import measured, squeezed
from tests.conftest import ROOT
from tests.support.fake_engine import FakeEngine, transcribed


async def test_each_level_is_measured_and_written(
    start: Callable[..., Any], audio: Path, tmp_path: Path
) -> None:
    output = tmp_path / "figures.json"
    arguments = ("--audio", audio, "--concurrency", "1,4", "--requests", 12, "--json", output)
    levels = await measured(await start(), *arguments)
    assert [level.concurrency for level in levels] == [1, 4]
    for level in levels:
        assert (level.requests, level.failures, level.refusals) == (12, {}, 0)
        assert level.audio_seconds == pytest.approx(12.0)
        assert level.realtime_multiple == pytest.approx(12.0 / level.seconds)
        assert level.requests_per_second == pytest.approx(12 / level.seconds)
        assert level.words == 24  # "1.00 s", twelve times
        assert level.server["model_id"] == "fake"
        for spread in (level.latency, level.processing_time, level.queue_time):
            assert spread is not None
            assert 0 <= spread.p50 <= spread.p95 <= spread.p99 <= spread.max
        assert not level.failed
    written = json.loads(output.read_text())
    assert written["clips"] == 2
    assert [level["requests"] for level in written["levels"]] == [12, 12]


async def test_an_absent_server_is_said_at_once(audio: Path) -> None:
    with pytest.raises(sweep.NoServer, match=r"127\.0\.0\.1:1/hc does not answer"):
        await measured("http://127.0.0.1:1", "--audio", audio)


async def test_the_script_prints_its_table_and_ends_with_1_after_a_failure(
    start: Callable[..., Any], audio: Path
) -> None:
    arguments = ("--audio", audio, "--concurrency", "1,2", "--requests", "2")
    url = await start()
    code, output = await _finished(await _script("--url", url, *arguments))
    assert code == 0, output
    assert "| requests " in output
    assert "| /hc p99, ms " in output
    (audio / "broken.mp3").write_bytes(b"not audio")
    again = await _script("--url", url, "--audio", audio, "--requests=3")
    code, output = await _finished(again)
    assert code == 1, output


async def test_an_interrupted_run_prints_what_it_has_measured(
    start: Callable[..., Any], engine: FakeEngine, audio: Path
) -> None:
    loop, reached, release = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold_the_third(window: Window) -> WindowResult:
        if len(engine.steps) == 3:  # the warm-up, an answered request, and this one
            loop.call_soon_threadsafe(reached.set)
            release.wait(30)
        return transcribed(window)

    engine.transcribe = hold_the_third
    running = await _script("--url", await start(), "--audio", audio, "--concurrency", "1")
    await asyncio.wait_for(reached.wait(), 30)
    running.send_signal(signal.SIGINT)
    code, output = await _finished(running)
    release.set()
    assert code == sweep.INTERRUPTED, output
    assert "| requests | 1 |" in squeezed(output)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--concurrency", "1,none"),
        ("--requests", "0"),
        ("--seconds", "nan"),
        ("--audio", "/nowhere.wav"),
        ("--requests", "1", "--seconds", "1"),
    ],
)
def test_bad_arguments_are_refused(audio: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        sweep.read_plan(arguments, {"AUDIO_DIR": str(audio)})


async def _script(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmark.load",
        *map(str, arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def _finished(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, output.decode()
