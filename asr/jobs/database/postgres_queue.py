"""Procrastinate's queue, which hands out jobs; each call is part of its caller's transaction."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from procrastinate import jobs as queue_jobs
from procrastinate.exceptions import ConnectorException
from procrastinate.manager import JobManager
from procrastinate.psycopg_connector import PsycopgConnector
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from asr.jobs.job import Job, JobKind

TASK = "asr"  # Procrastinate wants a name of what is to be done; our rows say it.
Entry = queue_jobs.Job


class _OneConnection:
    """Is a pool to procrastinate, and has the one connection whose transaction is under way."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        yield self._connection


class JobQueue:
    """The queue, as seen in one transaction; entries and rows change together or not at all."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._manager: JobManager | None = None

    async def manager(self) -> JobManager:
        if self._manager is None:
            connector = PsycopgConnector()
            pool = cast(AsyncConnectionPool[Any], _OneConnection(self._connection))
            await connector.open_async(pool)
            self._manager = JobManager(connector)
        return self._manager

    async def add(self, jobs: Sequence[tuple[int, Job]]) -> None:
        """Add entries for jobs, each given with the number of its row, and note them there."""
        if not jobs:
            return
        manager = await self.manager()
        entries = await manager.batch_defer_jobs_async(
            [_entry(row, job) for row, job in jobs], connection=self._connection
        )
        await self._connection.execute(
            "UPDATE jobs SET entry = new.entry "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS new (entry, sequence) "
            "WHERE jobs.sequence = new.sequence",
            [[entry.id for entry in entries], [row for row, _ in jobs]],
        )

    async def fetch(self, queues: Sequence[str], worker: int) -> Entry | None:
        return await (await self.manager()).fetch_job(queues, worker)

    async def put_back(self, entry: int | None, due_at: float) -> None:
        """Let an entry wait until it is due; where it is gone, the upkeep makes another."""
        if entry is not None:
            manager = await self.manager()
            due = datetime.fromtimestamp(max(due_at, 0.0), UTC)
            with contextlib.suppress(ConnectorException):
                async with self._connection.transaction():
                    await manager.retry_job_by_id_async(entry, due)

    async def remove(self, entries: Sequence[int | None]) -> None:
        """Remove entries, whoever has them, as procrastinate's own end of a job does.

        Our row is the truth: that an entry is gone, or ours no more, is no error here.
        """
        query = "DELETE FROM procrastinate_jobs WHERE id = ANY(%s)"
        await self._connection.execute(query, [[each for each in entries if each is not None]])


def queue_of(kind: JobKind, client: str) -> str:
    """The queue of a client's jobs; PostgreSQL's channels allow it 40 letters."""
    return f"{kind}-{hashlib.sha256(client.encode()).hexdigest()[:16]}" if client else str(kind)


def row_of(entry: Entry) -> int:
    """The number of the row of an entry's job."""
    return int(str(entry.task_kwargs["job"]))


def _entry(row: int, job: Job) -> Entry:
    due = datetime.fromtimestamp(job.due_at, UTC) if job.due_at > time.time() else None
    return Entry(
        id=None,
        queue=queue_of(job.kind, job.client),
        task_name=TASK,
        priority=job.priority,
        lock=None,
        queueing_lock=None,
        task_kwargs={"job": row},
        scheduled_at=due,
    )
