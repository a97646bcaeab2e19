"""Jobs in a SQLite file of one server; they survive the process, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from asr.errors import ConfigError, StoreUnavailable
from asr.jobs.job import Job, JobEvent, JobKind, JobState, Json, Outcome
from asr.jobs.store import Page

Result = TypeVar("Result")

CALL_SECONDS = 10.0  # A call that has waited so long for the disk is given up.
FILE = "jobs.db"
LOCK = "jobs.lock"
COLUMNS = (
    "id, kind, client, state, priority, created_at, due_at, deadline_at, started_at, ended_at, "
    "owner, attempt, audio_seconds, done_seconds, request, error"
)
SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    client TEXT NOT NULL,
    state TEXT NOT NULL,
    priority INTEGER NOT NULL,
    created_at REAL NOT NULL,
    due_at REAL NOT NULL,
    deadline_at REAL,
    started_at REAL,
    ended_at REAL,
    owner TEXT,
    attempt INTEGER NOT NULL,
    audio_seconds REAL NOT NULL,
    done_seconds REAL NOT NULL,
    request TEXT NOT NULL,
    error TEXT,
    result TEXT
);
CREATE INDEX IF NOT EXISTS jobs_next ON jobs (kind, state, priority DESC, sequence);
CREATE INDEX IF NOT EXISTS jobs_ended ON jobs (state, ended_at);
CREATE TABLE IF NOT EXISTS events (
    job_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    number INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
) WITHOUT ROWID;
"""


@contextlib.asynccontextmanager
async def open_store(directory: Path) -> AsyncIterator[SqliteStore]:
    """Open the store in `directory`; what ran when its last process ended is queued again.

    Raises:
        ConfigError: the directory cannot be used, or another server uses it.
    """
    with _locked(directory), ThreadPoolExecutor(1, "jobs") as thread:
        try:
            database = await asyncio.wrap_future(thread.submit(_opened, directory / FILE))
        except sqlite3.Error as error:
            raise ConfigError(f"JOBS_DIR={str(directory)!r} cannot be used: {error}") from error
        try:
            yield SqliteStore(database, thread)
        finally:
            await asyncio.wrap_future(thread.submit(database.close))


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"JOBS_DIR={str(directory)!r} cannot be used: {reason}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(
            f"JOBS_DIR={str(directory)!r} is used by another server: give each its own directory, "
            "or let them share a database (JOBS_URL)"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.row_factory = sqlite3.Row
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")  # what was answered survives a power failure
    database.executescript(SCHEMA)
    database.execute(
        "UPDATE jobs SET state = ?, done_seconds = 0 WHERE state = ?",
        (JobState.QUEUED, JobState.RUNNING),
    )
    return database


class SqliteStore:
    """A `JobStore` in one file, for one process; every call runs in its one thread."""

    def __init__(self, database: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._database = database
        self._thread = thread

    async def add(self, job: Job) -> Job:
        def call() -> Job:
            self._insert([job])
            return self._found(job.id) or job

        return await self._call(call)

    async def get(self, job_id: str, with_result: bool = False) -> Job | None:
        return await self._call(lambda: self._found(job_id, with_result))

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
        if after is not None:
            conditions.append("sequence < (SELECT sequence FROM jobs WHERE id = ?)")
            values.append(after)
        query = (
            f"SELECT {COLUMNS} FROM jobs WHERE {' AND '.join(conditions)} "
            f"ORDER BY sequence DESC LIMIT {limit + 1:d}"
        )
        jobs = await self._call(lambda: [_job(row) for row in self._rows(query, values)])
        return Page(tuple(jobs[:limit]), jobs[limit - 1].id if len(jobs) > limit else None)

    async def events(self, job_id: str, attempt: int, after: int) -> Sequence[JobEvent]:
        query = (
            "SELECT attempt, number, data FROM events "
            "WHERE job_id = ? AND (attempt > ? OR number > ?) ORDER BY number"
        )

        def call() -> Sequence[JobEvent]:
            rows = self._rows(query, [job_id, attempt, after])
            return [JobEvent(row[0], row[1], json.loads(row[2])) for row in rows]

        return await self._call(call)

    async def take(self, owner: str, kind: JobKind, excluded: Collection[str]) -> Job | None:
        query = (
            f"SELECT id FROM jobs WHERE kind = ? AND state = ? AND due_at <= ? "
            f"AND client NOT IN ({_marks(excluded)}) ORDER BY priority DESC, sequence LIMIT 1"
        )

        def call() -> Job | None:
            now = time.time()
            row = self._row(query, [kind, JobState.QUEUED, now, *excluded])
            if row is None:
                return None
            job_id = row["id"]
            self._execute("DELETE FROM events WHERE job_id = ?", [job_id])
            self._execute(
                "UPDATE jobs SET state = ?, owner = ?, attempt = attempt + 1, started_at = ?, "
                "done_seconds = 0 WHERE id = ?",
                [JobState.RUNNING, owner, now, job_id],
            )
            return self._found(job_id)

        return await self._call(call)

    async def beat(self, owner: str) -> set[str]:
        query = "SELECT id FROM jobs WHERE state = ? AND owner = ?"
        return await self._call(
            lambda: {row["id"] for row in self._rows(query, [JobState.RUNNING, owner])}
        )

    async def progress(
        self, job: Job, done_seconds: float, audio_seconds: float, events: Sequence[Json]
    ) -> bool:
        def call() -> bool:
            if not self._holds(job):
                return False
            self._execute(
                "UPDATE jobs SET done_seconds = ?, audio_seconds = ? WHERE id = ?",
                [done_seconds, audio_seconds, job.id],
            )
            row = self._row("SELECT MAX(number) FROM events WHERE job_id = ?", [job.id])
            number = (row[0] if row else 0) or 0
            self._database.executemany(
                "INSERT INTO events (job_id, attempt, number, data) VALUES (?, ?, ?, ?)",
                [
                    (job.id, job.attempt, number + place, json.dumps(event))
                    for place, event in enumerate(events, 1)
                ],
            )
            return True

        return await self._call(call)

    async def finish(self, job: Job, outcome: Outcome) -> bool:
        def call() -> bool:
            if not self._holds(job):
                return False
            self._execute(
                "UPDATE jobs SET state = ?, result = ?, error = ?, due_at = ?, ended_at = ? "
                "WHERE id = ?",
                [
                    outcome.state,
                    _text(outcome.result),
                    _text(outcome.error),
                    outcome.due_at,
                    time.time() if outcome.state.has_ended else None,
                    job.id,
                ],
            )
            self._insert(outcome.followers)
            return True

        return await self._call(call)

    async def cancel(self, job_id: str, followers: Sequence[Job] = ()) -> Job | None:
        def call() -> Job | None:
            job = self._found(job_id)
            if job is not None and not job.state.has_ended:
                self._end(job, JobState.CANCELLED, None, followers)
            return job

        return await self._call(call)

    async def expire(
        self, ended_before: float, followers: Callable[[Job], Sequence[Job]]
    ) -> Sequence[Job]:
        late = f"SELECT {COLUMNS} FROM jobs WHERE state IN (?, ?) AND deadline_at < ?"
        old = f"SELECT {COLUMNS} FROM jobs WHERE ended_at < ?"

        def call() -> Sequence[Job]:
            now = time.time()
            states = [JobState.QUEUED, JobState.RUNNING]
            expired = [_job(row) for row in self._rows(late, [*states, now])]
            for job in expired:
                error = {"message": "the job's deadline passed before it was completed"}
                self._end(job, JobState.EXPIRED, error, followers(job))
            forgotten = [_job(row) for row in self._rows(old, [ended_before])]
            for job in forgotten:
                self._execute("DELETE FROM jobs WHERE id = ?", [job.id])
                self._execute("DELETE FROM events WHERE job_id = ?", [job.id])
            return [*expired, *forgotten]

        return await self._call(call)

    # --- in the store's thread ---

    def _insert(self, jobs: Sequence[Job]) -> None:
        self._database.executemany(
            f"INSERT INTO jobs ({COLUMNS}) VALUES ({_marks(COLUMNS.split(','))}) "
            "ON CONFLICT (id) DO NOTHING",
            [_values(job) for job in jobs],
        )

    def _found(self, job_id: str, with_result: bool = False) -> Job | None:
        more = ", result" if with_result else ""
        row = self._row(f"SELECT sequence, {COLUMNS}{more} FROM jobs WHERE id = ?", [job_id])
        if row is None:
            return None
        ahead = self._seconds_ahead(row) if row["state"] == JobState.QUEUED else None
        return _job(row, ahead)

    def _seconds_ahead(self, row: sqlite3.Row) -> float:
        query = (
            "SELECT TOTAL(audio_seconds) FROM jobs WHERE kind = ? AND state = ? "
            "AND (priority > ? OR (priority = ? AND sequence < ?))"
        )
        priority = row["priority"]
        values = [row["kind"], JobState.QUEUED, priority, priority, row["sequence"]]
        total = self._row(query, values)
        return 0.0 if total is None else float(total[0])

    def _holds(self, job: Job) -> bool:
        """Whether the attempt `job` is still the one that counts."""
        query = "SELECT 1 FROM jobs WHERE id = ? AND state = ? AND owner = ? AND attempt = ?"
        return self._row(query, [job.id, JobState.RUNNING, job.owner, job.attempt]) is not None

    def _end(self, job: Job, state: JobState, error: Json | None, followers: Sequence[Job]) -> None:
        self._execute(
            "UPDATE jobs SET state = ?, error = ?, ended_at = ? WHERE id = ?",
            [state, _text(error), time.time(), job.id],
        )
        self._insert(followers)

    def _execute(self, query: str, values: Sequence[object]) -> sqlite3.Cursor:
        return self._database.execute(query, values)

    def _rows(self, query: str, values: Sequence[object]) -> list[sqlite3.Row]:
        return self._execute(query, values).fetchall()

    def _row(self, query: str, values: Sequence[object]) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._execute(query, values).fetchone()
        return row

    # --- in the event loop ---

    async def _call(self, call: Callable[[], Result]) -> Result:
        """Run `call` as one transaction in the store's thread.

        Raises:
            StoreUnavailable: the disk fails, or does not answer in time.
        """

        def transaction() -> Result:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                result = call()
                self._database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise
            return result

        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await asyncio.wrap_future(self._thread.submit(transaction))
        except TimeoutError as error:
            raise StoreUnavailable("its disk is too slow") from error
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _text(value: Json | None) -> str | None:
    return None if value is None else json.dumps(value)


def _values(job: Job) -> list[object]:
    found: dict[str, Any] = {name: getattr(job, name) for name in COLUMNS.split(", ")}
    return list({**found, "request": _text(job.request), "error": _text(job.error)}.values())


def _job(row: sqlite3.Row, seconds_ahead: float | None = None) -> Job:
    found = {name: row[name] for name in row.keys() if name != "sequence"}  # noqa: SIM118
    for name in ("request", "error", "result"):
        if found.get(name) is not None:
            found[name] = json.loads(found[name])
    found["kind"], found["state"] = JobKind(found["kind"]), JobState(found["state"])
    return Job(**found, seconds_ahead=seconds_ahead)
