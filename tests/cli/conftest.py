"""Give the commands a server: the app with the fake engine, and its jobs in a directory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asr.cli.app import run


@pytest.fixture
def command(
    make_client: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> Callable[..., Awaitable[int]]:
    """Return a function that runs a command against a server, and returns its exit code."""
    monkeypatch.setattr("asr.jobs.service.POLL_SECONDS", 0.01)
    monkeypatch.setattr("asr.cli.wait.AGAIN_SECONDS", 0.01)
    servers: list[Any] = []

    async def call(*arguments: str, **settings: Any) -> int:
        if not servers:
            servers.append(await make_client(jobs_dir=tmp_path / "jobs", **settings))
        monkeypatch.setenv("ASR_SERVER", str(servers[0].make_url("")))
        return await asyncio.to_thread(run, arguments)

    return call
