"""The load generator against servers on this machine: what it counts, prints, writes and sends."""

from __future__ import annotations

import asyncio
import json
import math
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asr.app import create_app
from asr.config import Config
from asr.windows import Window, WindowResult
from benchmark import load, reporting
from benchmark.clips import Clip, collect
from benchmark.level import Answer, Level
from benchmark.reporting import Figures
from tests.conftest import ROOT, FakeEngine, heard, tone, wav

SECOND = wav(tone(1.0))


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """A directory with two clips of a second each, and a file that is not audio."""
    folder = tmp_path / "audio"
    (folder / "deeper").mkdir(parents=True)
    (folder / "one.wav").write_bytes(SECOND)
    (folder / "deeper" / "two.WAV").write_bytes(SECOND)
    (folder / "notes.txt").write_text("not audio")
    return folder


@pytest.fixture
def start(aiohttp_server: Any, engine: FakeEngine) -> Callable[..., Any]:
    """The URL of a server with the fake engine and the settings given."""

    async def started(**settings: Any) -> str:
        server = await aiohttp_server(create_app(Config(**settings), lambda _: engine))
        return str(server.make_url("")).rstrip("/")

    return started


async def measured(
    url: str, *arguments: object, environment: dict[str, str] | None = None
) -> list[Figures]:
    plan = load.read_plan(["--url", url, *map(str, arguments)], environment or {})
    levels: list[Figures] = []
    await load.sweep(plan, levels)
    return levels


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


async def test_a_warm_up_comes_before_the_measured_requests(
    start: Callable[..., Any], engine: FakeEngine, audio: Path
) -> None:
    [level] = await measured(await start(), "--audio", audio, "--concurrency", 2, "--requests", 3)
    assert level.requests == 3
    assert sum(len(step) for step in engine.steps) == 4


async def test_the_health_check_is_probed_meanwhile(aiohttp_server: Any, audio: Path) -> None:
    probes = 0
    probed = asyncio.Event()

    async def hc(_: web.Request) -> web.Response:
        nonlocal probes
        probes += 1
        if probes == 6:  # the first asks whether the server is there
            probed.set()
        return web.Response()

    calls = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        if calls > 1:  # after the warm-up
            await probed.wait()
        return web.json_response({"text": "well"})

    url = await _serve(aiohttp_server, answer, hc)
    arguments = ("--audio", audio, "--concurrency", 2, "--requests", 2, "--probe-hz", 100)
    [level] = await measured(url, *arguments)
    assert level.health_probes == probes - 1 >= 5
    assert level.health_failures == {}
    assert level.health is not None
    assert 0 < level.health.p50 <= level.health.max
    assert level.client_lateness is not None


async def test_a_failing_health_check_is_counted(aiohttp_server: Any, audio: Path) -> None:
    answered = 0

    async def hc(_: web.Request) -> web.Response:
        nonlocal answered
        answered += 1
        return web.Response(status=200 if answered == 1 else 503)

    url = await _serve(aiohttp_server, hc=hc)
    [level] = await measured(url, "--audio", audio, "--concurrency", 1, "--requests", 1)
    assert level.health_failures == {"503": level.health_probes}
    assert level.health is None
    assert level.failed


async def test_failures_are_counted_by_status_and_named_in_the_table(
    start: Callable[..., Any], audio: Path
) -> None:
    broken = audio / "broken.mp3"
    broken.write_bytes(b"this is not audio" * 100)
    arguments = ("--audio", audio, "--concurrency", 2, "--requests", 6)
    levels = await measured(await start(), *arguments)
    assert levels[0].failures == {"400": 2}
    assert levels[0].audio_seconds == pytest.approx(4.0)
    assert levels[0].failed
    table = reporting.table(levels)
    assert "2 (400: 2)" in table
    assert '400 with 2 at once, first: {"error": ' in table


async def test_a_reply_without_a_transcript_is_a_failure(aiohttp_server: Any, audio: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"words": "none"})

    url = await _serve(aiohttp_server, transcribe=answer)
    [level] = await measured(url, "--audio", audio, "--concurrency", 1, "--requests", 2)
    assert level.failures == {"not a transcript": 2}
    assert level.latency is None


async def test_a_connection_cut_short_is_a_failure(aiohttp_server: Any, audio: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    url = await _serve(aiohttp_server, transcribe=answer)
    [level] = await measured(url, "--audio", audio, "--concurrency", 1, "--requests", 2)
    assert sum(level.failures.values()) == 2
    assert not any(kind.isdigit() for kind in level.failures)


@pytest.mark.parametrize(
    ("arguments", "failures", "refusals"),
    [((), {"429": 1}, 0), (("--patient",), {}, 1)],
    ids=["refused", "patient"],
)
async def test_a_refusal_is_a_failure_unless_patience_is_asked(
    aiohttp_server: Any,
    audio: Path,
    arguments: tuple[str, ...],
    failures: dict[str, int],
    refusals: int,
) -> None:
    seen = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        if seen == 2:  # the first is the warm-up
            return web.json_response({}, status=429, headers={"Retry-After": "0"})
        return web.json_response({"text": "two words"}, headers={"X-Audio-Length": "1.0"})

    url = await _serve(aiohttp_server, transcribe=answer)
    places = ("--audio", audio, "--concurrency", 1, "--requests", 2)
    [level] = await measured(url, *places, *arguments)
    assert (level.failures, level.refusals) == (failures, refusals)


async def test_urls_are_sent_as_json_and_forms_have_a_file(aiohttp_server: Any) -> None:
    requests: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        is_form = request.content_type == "multipart/form-data"
        fields = dict(await request.post()) if is_form else await request.json()
        requests.append({**fields, "key": request.headers["Authorization"]})
        return web.json_response({"text": ""})

    url = await _serve(aiohttp_server, transcribe=answer)
    place = "https://example.com/clip.mp3"
    common = ("--requests", 1, "--concurrency", 1, "--api-key", "secret")
    await measured(url, "--audio", place, *common)
    assert requests[-1] == {"url": place, "key": "Bearer secret"}
    form = ("--route", "/v1/audio/transcriptions")
    await measured(url, "--audio", place, *common, *form)
    assert requests[-1] == {"url": place, "model": "whisper-1", "key": "Bearer secret"}
    file = ROOT / "tests" / "benchmark" / "__init__.py"
    await measured(url, "--audio", file, *common, *form)
    assert requests[-1]["file"].filename == "__init__.py"


async def test_a_level_of_seconds_begins_no_request_after_them(
    start: Callable[..., Any], audio: Path
) -> None:
    arguments = ("--audio", audio, "--concurrency", 2, "--seconds", 0.2)
    [level] = await measured(await start(), *arguments)
    assert level.requests >= 2
    assert level.seconds >= 0.2


async def test_each_level_is_reported_with_the_key(
    start: Callable[..., Any], aiohttp_server: Any, audio: Path
) -> None:
    reports: list[tuple[str, str, dict[str, Any]]] = []

    async def receive(request: web.Request) -> web.Response:
        reports.append((request.path, request.headers["Benchmark-Key"], await request.json()))
        return web.Response(status=201)

    environment = {
        "REPORTING_API_URL": await _receiver(aiohttp_server, receive),
        "REPORTING_AUTH_HEADER": "Benchmark-Key",
        "REPORTING_API_KEY": "secret",
        "BENCHMARK_ID": "night-7",
        "AUDIO_DIR": str(audio),
    }
    arguments = ("--concurrency", "1,2", "--requests", 2)
    await measured(await start(), *arguments, environment=environment)
    assert [(path, key) for path, key, _ in reports] == [("/reports/night-7", "secret")] * 2
    assert [body["concurrency"] for _, _, body in reports] == [1, 2]
    assert all(body["benchmark_id"] == "night-7" and body["words"] for _, _, body in reports)


@pytest.mark.parametrize("status", [500, None], ids=["refused", "unreachable"])
async def test_a_report_that_fails_is_a_warning(
    start: Callable[..., Any],
    aiohttp_server: Any,
    audio: Path,
    caplog: pytest.LogCaptureFixture,
    status: int | None,
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status or 200)

    where = await _receiver(aiohttp_server, refuse) if status else "http://127.0.0.1:1/reports"
    arguments = ("--audio", audio, "--concurrency", 1, "--requests", 1)
    levels = await measured(await start(), *arguments, environment={"REPORTING_API_URL": where})
    assert not levels[0].failed
    assert "the report to" in caplog.text


async def test_an_absent_server_is_said_at_once(audio: Path) -> None:
    with pytest.raises(load.NoServer, match=r"127\.0\.0\.1:1/hc does not answer"):
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
    module = await _program("-m", "benchmark.load", "--url", url, "--audio", audio, "--requests=3")
    code, output = await _finished(module)
    assert code == 1, output


async def test_an_interrupted_run_prints_what_it_has_measured(
    start: Callable[..., Any], engine: FakeEngine, audio: Path
) -> None:
    loop, reached, release = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold_the_third(window: Window) -> WindowResult:
        if len(engine.steps) == 3:  # the warm-up, an answered request, and this one
            loop.call_soon_threadsafe(reached.set)
            release.wait(30)
        return heard(window)

    engine.hear = hold_the_third
    running = await _script("--url", await start(), "--audio", audio, "--concurrency", "1")
    await asyncio.wait_for(reached.wait(), 30)
    running.send_signal(signal.SIGINT)
    code, output = await _finished(running)
    release.set()
    assert code == load.INTERRUPTED, output
    assert "| requests | 1 |" in _squeezed(output)


def test_places_are_directories_files_urls_and_lists_of_them(audio: Path) -> None:
    listed = audio / "list.txt"
    listed.write_text(f"# a comment\n\n{audio / 'one.wav'}\nhttps://example.com/x.mp3\n")
    assert collect([str(audio)], [listed]) == [
        Clip("two.WAV", SECOND),
        Clip("one.wav", SECOND),
        Clip("one.wav", SECOND),
        Clip("https://example.com/x.mp3"),
    ]


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
        load.read_plan(arguments, {"AUDIO_DIR": str(audio)})


def test_a_level_without_answers_has_dashes_for_figures() -> None:
    empty = reporting.figures(Level(1, answers=[Answer(math.nan, failure="timeout")]))
    assert "| latency p50, s | - |" in _squeezed(reporting.table([empty]))


async def _serve(
    aiohttp_server: Any,
    transcribe: Callable[[web.Request], Any] | None = None,
    hc: Callable[[web.Request], Any] | None = None,
) -> str:
    """A server whose routes answer as told, and otherwise well."""

    async def well(_: web.Request) -> web.Response:
        return web.json_response({"text": "well"})

    app = web.Application()
    app.router.add_get("/hc", hc or well)
    app.router.add_post("/asr", transcribe or well)
    app.router.add_post("/v1/audio/transcriptions", transcribe or well)
    return str((await aiohttp_server(app)).make_url("")).rstrip("/")


async def _receiver(aiohttp_server: Any, receive: Callable[[web.Request], Any]) -> str:
    app = web.Application()
    app.router.add_post("/reports{rest:.*}", receive)
    return str((await aiohttp_server(app)).make_url("/reports"))


async def _script(*arguments: object) -> asyncio.subprocess.Process:
    return await _program(ROOT / "benchmark" / "load.py", *arguments)


async def _program(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def _finished(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, output.decode()


def _squeezed(table: str) -> str:
    return re.sub(" +", " ", table)
