"""Open a store of each kind, and make the jobs that tests put into it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from asr.jobs import sqlite_store
from asr.jobs.job import Job, JobKind
from asr.jobs.store import JobStore

Opener = Callable[[], contextlib.AbstractAsyncContextManager[JobStore]]


@pytest.fixture
def open_store(tmp_path: Path) -> Opener:
    """Opens the one store of a test, as often as it asks."""
    return lambda: sqlite_store.open_store(tmp_path / "jobs")


@pytest.fixture
async def store(open_store: Opener) -> AsyncIterator[JobStore]:
    async with open_store() as opened:
        yield opened


def job(job_id: str, kind: JobKind = JobKind.TRANSCRIPTION, **more: Any) -> Job:
    fields = {"request": {"audio": {"url": "https://example.com"}}, "created_at": 1.0, **more}
    return Job(job_id, kind, **fields)


def nobody(_: Job) -> list[Job]:
    """No followers, of any job."""
    return []
