"""Whole requests that the benchmarks send: which, and that they are counted right."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

from asr.engines.engine import Window
from asr.options import Options
from benchmark.engine_comparison.contender import LANGUAGE, Settings
from benchmark.engine_comparison.contenders import ours
from benchmark.load import http_overhead, server_process
from benchmark.load.clips import Clip
from benchmark.load.http_overhead import FILES, FORMATS, LONG, Case, HttpFigures
from benchmark.load.level import Amount, Level, Target, run
from benchmark.load.server_engines import LENGTHS, MUTE, Drawn
from benchmark.load.server_process import WHISPER, Setup
from benchmark.recordings import drawn_lengths
from tests.benchmark.conftest import SECOND, squeezed, stub_server
from tests.conftest import tone

SETUP = Setup(MUTE, Path("models/demo/weights"), "cpu", "float32")


def test_on_a_cpu_many_callers_send_short_files_and_one_sends_the_long_ones() -> None:
    cases = http_overhead.cases("cpu", FILES, FORMATS, http_overhead.CALLERS)
    sent = {(case.format, case.seconds, case.callers) for case in cases}
    assert {("wav", 5, 128), ("mp3", 30, 128), ("mp3", LONG, 1), ("wav", 9000, 1)} <= sent
    assert not [case for case in cases if case.seconds >= LONG and case.callers > 1]
    assert ("mp3", 9000, 1) not in sent, "the model takes the longest file once"
    assert ("mp3", 9000) in {
        (c.format, c.seconds) for c in http_overhead.cases(MUTE, FILES, FORMATS, [1])
    }
    assert all(case.requests >= case.callers for case in cases)
    assert max(case.windows for case in cases if case.callers == 128) == 128


def test_a_server_is_asked_with_its_own_settings_and_finds_what_was_carried_along() -> None:
    given = {"PYTHONPATH": "/carried", "CHUNK_LENGTH_S": "20"}
    settings = server_process.environment(SETUP, 8001, given)
    assert settings["PYTHONPATH"].split(os.pathsep) == [str(server_process.ROOT), "/carried"]
    assert settings["CHUNK_LENGTH_S"] == "20"
    assert not {"MAX_QUEUE_SECONDS", "MAX_NEW_TOKENS"} & set(settings)
    limited = dataclasses.replace(SETUP, engine=WHISPER, tokens="17")
    assert server_process.environment(limited, 8001, given)["MAX_NEW_TOKENS"] == "17"


def test_requests_to_a_mute_server_are_counted_with_what_they_cost() -> None:
    with server_process.running_server(SETUP) as server:
        server.settle(30)
        found = http_overhead.measured(server, SETUP, Case("wav", 65, 3, 6))
    assert (found.load.requests, found.load.failures, found.load.refusals) == (6, {}, 0)
    assert found.load.audio_seconds == 6 * 65
    assert found.windows >= 3
    assert found.cpu_ms > 0
    assert found.windows_per_second > 0
    assert found.tokens is None
    assert (
        squeezed(http_overhead.table([found]))
        .splitlines()[-1]
        .startswith("| mute, 65 s wav, 3 | - | 6 |")
    )


def test_a_decoder_that_ends_while_it_is_looked_at_costs_no_figures() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as decoder:
        listed = psutil.Process(decoder.pid)
        assert server_process.used(listed) >= 0
        decoder.communicate(b"\n")
        assert server_process.used(listed) == 0


async def test_a_long_files_level_is_warmed_up_by_a_short_one(aiohttp_server: Any) -> None:
    sizes: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        sizes.append(len(await request.read()))
        return web.json_response({"text": "well"})

    url = await stub_server(aiohttp_server, answer)
    level, long = Level(1), Clip("long", 3 * SECOND)
    await run(level, Target(url), [long], Amount(2), lambda: None, Clip("short", SECOND))
    assert sizes == [len(SECOND), 3 * len(SECOND), 3 * len(SECOND)]
    assert len(level.answers) == 2


def test_the_goals_are_judged_by_requests_of_their_own_number_of_tokens(
    answered: Callable[..., HttpFigures],
) -> None:
    found = [
        answered(30, 64, 900.0),
        answered(30, 128, 1600.0),
        answered(30, 128, 9000.0, tokens="17"),
        answered(LONG, 1, 850.0),
        answered(LONG, 4, 1900.0),
    ]
    multiples = http_overhead.multiples(found)
    assert (multiples["many"], multiples["long"]) == (1600.0, 850.0)
    assert http_overhead.multiples([]) == {}


def test_stages_stand_beside_each_other_by_format() -> None:
    table = squeezed(http_overhead.stage_table({"wav": {"decode": 0.1}, "mp3": {"decode": 0.25}}))
    assert table.splitlines()[0] == "| ms of CPU for a second of audio | wav | mp3 |"
    assert table.splitlines()[-1] == "| decode | 0.100 | 0.250 |"


def test_drawn_lengths_are_the_windows_own_whoever_asks(checkpoint: Path) -> None:
    engine = Drawn(ours.load(Settings(checkpoint, checkpoint, "cpu", "float32", 1))._engine)
    options = Options(language=LANGUAGE, timestamps="none")
    waiting = [Window(tone(2.0), start=float(n), options=options) for n in range(5)]
    left = waiting.pop()  # by its caller, while it is transcribed
    found = engine.step([left])
    engine.drop(left)
    wanted = list(waiting)
    while waiting or engine.held():
        found += engine.step([waiting.pop(0) for _ in range(min(engine.free(), len(waiting)))])
    tokens = {one.window: sum(len(part.tokens) for part in one.segments) for one in found}
    assert [tokens[window] for window in wanted] == drawn_lengths(LENGTHS)[1:5]
    assert left not in tokens
