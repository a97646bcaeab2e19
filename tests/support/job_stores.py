"""Open a store of each kind, and make the jobs that tests put into it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from asr.jobs import postgres_store, sqlite_store
from asr.jobs.database import sqlite
from asr.jobs.job import Job, JobKind
from asr.jobs.store import JobStore
from tests.support.postgres import Postgres

Opener = Callable[[], contextlib.AbstractAsyncContextManager[JobStore]]


@pytest.fixture(params=["sqlite", "postgresql"])
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Opener:
    """Opens the one store of a test, as often as it asks."""
    monkeypatch.setattr(sqlite, "CALL_SECONDS", 60.0)  # a busy machine fails no test
    if request.param == "sqlite":
        return lambda: sqlite_store.open_store(tmp_path / "jobs")
    server: Postgres = request.getfixturevalue("postgres_with_tables")
    return lambda: postgres_store.open_store(server.url)


@pytest.fixture
def postgres_with_tables(patient_postgres: Postgres) -> Postgres:
    """Gives a database whose tables of jobs, if it has them, are empty."""
    patient_postgres.execute(
        "DO $$ BEGIN IF to_regclass('asr.jobs') IS NOT NULL THEN "
        "TRUNCATE asr.jobs, asr.procrastinate_jobs, asr.procrastinate_workers CASCADE; "
        "END IF; END $$"
    )
    return patient_postgres


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
