"""Jobs in a SQLite file of one server; they survive the process, however it ends."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path

from asr.jobs.database.rows import COLUMNS, MISSED, NAMES, is_open, job_of, text_of, values_of
from asr.jobs.database.sqlite import Row, SqliteDatabase, open_database
from asr.jobs.job import Job, JobEvent, JobKind, JobState, Json, Outcome, delivery_ids
from asr.jobs.store import EXPIRE_JOBS, Page

LATE = f"""
SELECT {COLUMNS} FROM jobs WHERE ended_at IS NULL AND deadline_at < ?
ORDER BY deadline_at LIMIT {EXPIRE_JOBS}
"""
OLD = f"SELECT {COLUMNS} FROM jobs WHERE ended_at < ? ORDER BY ended_at LIMIT {EXPIRE_JOBS}"


@contextlib.asynccontextmanager
async def open_store(directory: Path) -> AsyncIterator[SqliteStore]:
    """Open the store in `directory`; what ran when its last process ended is queued again.

    Raises:
        ConfigError: the directory cannot be used, or another server uses it.
    """
    async with open_database(directory) as database:
        yield SqliteStore(database)


class SqliteStore:
    """A `JobStore` in one file, for one process."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def add(self, job: Job) -> Job:
        def call() -> Job:
            self._insert([job])
            return self._found(job.id) or job

        return await self._database.call(call)

    async def get(self, job_id: str, with_result: bool = False) -> Job | None:
        return await self._database.call(lambda: self._found(job_id, with_result))

    async def page(
        self,
        kind: JobKind,
        client: str | None,
        states: Collection[JobState],
        after: str | None,
        limit: int,
    ) -> Page:
        conditions, values = ["kind = ?"], [str(kind)]
        if client is not None:
            conditions.append("client = ?")
            values.append(client)
        if states:
            conditions.append(f"state IN ({_marks(states)})")
            values.extend(states)
        if is_open(states):
            conditions.append("ended_at IS NULL")
        if after is not None:
            conditions.append("sequence < (SELECT sequence FROM jobs WHERE id = ?)")
            values.append(after)
        query = (
            f"SELECT {COLUMNS} FROM jobs WHERE {' AND '.join(conditions)} "
            f"ORDER BY sequence DESC LIMIT {limit + 1:d}"
        )
        jobs = await self._database.call(lambda: self._jobs(query, values))
        return Page(tuple(jobs[:limit]), jobs[limit - 1].id if len(jobs) > limit else None)

    async def events(self, job_id: str, attempt: int, after: int) -> Sequence[JobEvent]:
        query = (
            "SELECT attempt, number, data FROM events "
            "WHERE job_id = ? AND (attempt > ? OR number > ?) ORDER BY number"
        )

        def call() -> Sequence[JobEvent]:
            rows = self._database.rows(query, [job_id, attempt, after])
            return [
                JobEvent(row["attempt"], row["number"], json.loads(row["data"])) for row in rows
            ]

        return await self._database.call(call)

    async def take(self, owner: str, kind: JobKind, excluded: Collection[str]) -> Job | None:
        query = (
            f"SELECT id FROM jobs WHERE kind = ? AND state = 'queued' AND due_at <= ? "
            f"AND client NOT IN ({_marks(excluded)}) "
            "AND (deadline_at IS NULL OR deadline_at >= ?) "
            "ORDER BY priority DESC, sequence LIMIT 1"
        )

        def call() -> Job | None:
            now = time.time()
            row = self._database.row(query, [kind, now, *excluded, now])
            if row is None:
                return None
            self._database.execute("DELETE FROM events WHERE job_id = ?", [row["id"]])
            self._database.execute(
                "UPDATE jobs SET state = 'running', owner = ?, attempt = attempt + 1, "
                "started_at = ?, done_seconds = 0 WHERE id = ?",
                [owner, now, row["id"]],
            )
            return self._found(row["id"])

        return await self._database.call(call, self._put_back)

    async def beat(self, owner: str) -> set[str]:
        query = "SELECT id FROM jobs WHERE state = 'running' AND owner = ?"
        rows = await self._database.call(lambda: self._database.rows(query, [owner]))
        return {row["id"] for row in rows}

    async def progress(
        self, job: Job, done_seconds: float, audio_seconds: float, events: Sequence[Json]
    ) -> bool:
        def call() -> bool:
            if not self._holds(job):
                return False
            self._database.execute(
                "UPDATE jobs SET done_seconds = ?, audio_seconds = ? WHERE id = ?",
                [done_seconds, audio_seconds, job.id],
            )
            query = "SELECT COALESCE(MAX(number), 0) AS number FROM events WHERE job_id = ?"
            row = self._database.row(query, [job.id])
            first = 1 if row is None else row["number"] + 1
            self._database.execute_many(
                "INSERT INTO events (job_id, attempt, number, data) VALUES (?, ?, ?, ?)",
                [
                    (job.id, job.attempt, number, json.dumps(event))
                    for number, event in enumerate(events, first)
                ],
            )
            return True

        return await self._database.call(call)

    async def finish(self, job: Job, outcome: Outcome) -> bool:
        def call() -> bool:
            if not self._holds(job):
                return False
            self._database.execute(
                "UPDATE jobs SET state = ?, result = ?, error = ?, due_at = ?, ended_at = ? "
                "WHERE id = ?",
                [
                    outcome.state,
                    text_of(outcome.result),
                    text_of(outcome.error),
                    outcome.due_at,
                    time.time() if outcome.state.has_ended else None,
                    job.id,
                ],
            )
            self._insert(outcome.followers)
            return True

        return await self._database.call(call)

    async def cancel(self, job_id: str, followers: Sequence[Job] = ()) -> Job | None:
        def call() -> Job | None:
            job = self._found(job_id)
            if job is not None and not job.state.has_ended:
                self._end(job, JobState.CANCELLED, None, followers)
            return job

        return await self._database.call(call)

    async def expire(
        self, ended_before: float, followers: Callable[[Job], Sequence[Job]]
    ) -> Sequence[Job]:
        def call() -> Sequence[Job]:
            old = self._jobs(OLD, [ended_before])
            for job in old:
                self._database.execute("DELETE FROM jobs WHERE id = ?", [job.id])
                self._database.execute("DELETE FROM events WHERE job_id = ?", [job.id])
            told = [(each,) for each in delivery_ids(old)]
            self._database.execute_many("DELETE FROM jobs WHERE id = ?", told)
            late = self._jobs(LATE, [time.time()])
            for job in late:
                self._end(job, JobState.EXPIRED, MISSED, followers(job))
            return [*late, *old]

        return await self._database.call(call)

    # --- within a call ---

    def _insert(self, jobs: Sequence[Job]) -> None:
        self._database.execute_many(
            f"INSERT INTO jobs ({COLUMNS}) VALUES ({_marks(NAMES)}) ON CONFLICT (id) DO NOTHING",
            [values_of(job) for job in jobs],
        )

    def _found(self, job_id: str, with_result: bool = False) -> Job | None:
        more = ", result" if with_result else ""
        query = f"SELECT sequence, {COLUMNS}{more} FROM jobs WHERE id = ?"
        row = self._database.row(query, [job_id])
        if row is None:
            return None
        return job_of(row, self._seconds_ahead(row) if row["state"] == JobState.QUEUED else None)

    def _jobs(self, query: str, values: Sequence[object]) -> list[Job]:
        return [job_of(row) for row in self._database.rows(query, values)]

    def _seconds_ahead(self, row: Row) -> float:
        query = (
            "SELECT TOTAL(audio_seconds) AS seconds FROM jobs WHERE kind = ? AND state = 'queued' "
            "AND priority >= ? AND (priority > ? OR sequence < ?)"
        )
        priority = row["priority"]
        total = self._database.row(query, [row["kind"], priority, priority, row["sequence"]])
        return 0.0 if total is None else float(total["seconds"])

    def _holds(self, job: Job) -> bool:
        """Whether the attempt `job` is still the one that counts."""
        query = (
            "SELECT 1 FROM jobs WHERE id = ? AND state = 'running' AND owner = ? AND attempt = ?"
        )
        return self._database.row(query, [job.id, job.owner, job.attempt]) is not None

    def _end(self, job: Job, state: JobState, error: Json | None, followers: Sequence[Job]) -> None:
        self._database.execute(
            "UPDATE jobs SET state = ?, error = ?, ended_at = ? WHERE id = ?",
            [state, text_of(error), time.time(), job.id],
        )
        self._insert(followers)

    def _put_back(self, job: Job | None) -> None:
        if job is not None and self._holds(job):
            self._database.execute("UPDATE jobs SET state = 'queued' WHERE id = ?", [job.id])


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
