"""What the tests of the benchmarks share: servers, clips, and a measured sweep."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp import web

from asr.config.config import Config
from asr.server.app import create_app
from benchmark.engine_comparison.checkpoints import Size, random_checkpoint
from benchmark.engine_comparison.goals import GOAL_TOKENS
from benchmark.load import sweep
from benchmark.load.http_overhead import HttpFigures
from benchmark.load.level import Level
from benchmark.load.reporting import Figures, figures
from tests.conftest import tone, wav
from tests.support.fake_engine import FakeEngine

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
        config = replace(Config.from_environment({"VAD": "off"}), **settings)  # tones are speech
        server = await aiohttp_server(create_app(config, lambda _: engine))
        return str(server.make_url("")).rstrip("/")

    return started


async def measured(
    url: str, *arguments: object, environment: dict[str, str] | None = None
) -> list[Figures]:
    plan = sweep.read_plan(["--url", url, *map(str, arguments)], environment or {})
    levels: list[Figures] = []
    await sweep.sweep(plan, levels)
    return levels


async def stub_server(
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


def squeezed(table: str) -> str:
    return re.sub(" +", " ", table)


@pytest.fixture
def answered() -> Callable[..., HttpFigures]:
    """A case that came to so many times real time."""

    def made(
        seconds: int, callers: int, multiple: float, tokens: str = str(GOAL_TOKENS)
    ) -> HttpFigures:
        load = replace(figures(Level(callers)), realtime_multiple=multiple)
        return HttpFigures("whisper", tokens, "wav", seconds, 1, load, 0.0, 0.0)

    return made


@pytest.fixture(scope="package")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model whose texts are as long as allowed."""
    size = Size(width=48, encoder_layers=1, decoder_layers=2, heads=2)
    folder = tmp_path_factory.mktemp("weights") / "random"
    return random_checkpoint(size, folder, torch.float32, "cpu")
