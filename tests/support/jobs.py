"""Keep jobs in a directory of a test's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asr.jobs.job import Job
from asr.jobs.service import JobPlace, JobService
from asr.jobs.sqlite_store import open_store
from asr.jobs.submission import Submission
from asr.jobs.uploads import Uploads
from asr.options import Options


@contextlib.asynccontextmanager
async def opened_place(directory: Path) -> AsyncIterator[JobPlace]:
    with contextlib.closing(Uploads(str(directory / "uploads"))) as uploads:
        async with open_store(directory) as store:
            yield JobPlace(store, uploads)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[JobPlace]:
    async with opened_place(tmp_path / "jobs") as place:
        yield place


@pytest.fixture
def jobs(place: JobPlace) -> JobService:
    """Return a service without a worker."""

    async def open_place() -> JobPlace:
        return place

    return JobService(open_place)


def asked(**how: object) -> Submission:
    """Return a submission of a URL."""
    return Submission(
        **{"audio": {"url": "https://example.com/a.mp3"}, "options": Options(), **how}
    )  # type: ignore[arg-type]


async def taken(place: JobPlace) -> Job:
    """Take the next transcription as a worker would."""
    job = await place.store.take("worker", asked().job().kind, ())
    assert job is not None
    return job
