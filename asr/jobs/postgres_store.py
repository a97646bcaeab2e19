"""Jobs in a PostgreSQL database that several servers share by procrastinate's queue."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any

from asr.errors import StoreUnavailable
from asr.jobs.database.postgres import Connection, PostgresDatabase, open_database
from asr.jobs.database.postgres_queue import JobQueue, row_of
from asr.jobs.database.postgres_rows import (
    Locked,
    end,
    found,
    insert,
    jobs,
    locked,
    rows,
    start,
    waiting_queues,
)
from asr.jobs.database.postgres_upkeep import Upkeep
from asr.jobs.database.rows import (
    COLUMNS,
    MISSED,
    NAMES,
    event_of,
    is_open,
    job_of,
    text_of,
)
from asr.jobs.job import Job, JobEvent, JobKind, JobState, Json, Outcome, delivery_ids
from asr.jobs.store import EXPIRE_JOBS, Page

LATE_SECONDS = 30.0  # An entry whose job is about to expire is not looked at again for so long.
LATE = f"""
SELECT sequence, entry, {COLUMNS} FROM jobs WHERE ended_at IS NULL AND deadline_at < %s
ORDER BY deadline_at LIMIT {EXPIRE_JOBS} FOR UPDATE SKIP LOCKED
"""
OLD = f"""
DELETE FROM jobs WHERE sequence IN (
    SELECT sequence FROM jobs WHERE ended_at < %s
    ORDER BY ended_at LIMIT {EXPIRE_JOBS} FOR UPDATE SKIP LOCKED
) RETURNING {COLUMNS}
"""
TOLD = """
DELETE FROM jobs WHERE sequence IN (
    SELECT sequence FROM jobs WHERE id = ANY(%s) FOR UPDATE SKIP LOCKED
) RETURNING entry
"""
RUNNING = f"""
SELECT worker_id, {", ".join(f"jobs.{name}" for name in NAMES)}
FROM jobs LEFT JOIN procrastinate_jobs AS entries ON entries.id = jobs.entry
WHERE state = 'running' AND owner = %s
"""
HELD = "state = 'running' AND id = %s AND owner = %s AND attempt = %s"


@contextlib.asynccontextmanager
async def open_store(url: str) -> AsyncIterator[PostgresStore]:
    """Open the store in a database; one that is away now may come later.

    Raises:
        ConfigError: the URL is wrong, or the database does not let us in.
    """
    async with open_database(url) as database:
        upkeep = Upkeep(database)
        try:
            await upkeep.start()
            yield PostgresStore(database, upkeep)
        finally:
            await upkeep.stop()


class PostgresStore:
    """A `JobStore` that any number of servers share."""

    def __init__(self, database: PostgresDatabase, upkeep: Upkeep) -> None:
        self._database = database
        self._upkeep = upkeep
        self._takes = 0  # calls of `take` that have begun
        self._taking = 0  # those of them that have not ended
        self._given: dict[tuple[str, int], str] = {}  # attempts that `take` gave out, their owners

    async def add(self, job: Job) -> Job:
        async def call(connection: Connection) -> Job:
            await insert(connection, [job])
            return await found(connection, job.id) or job

        return await self._database.call(call)

    async def get(self, job_id: str, with_result: bool = False) -> Job | None:
        return await self._database.call(lambda on: found(on, job_id, with_result))

    async def page(
        self,
        kind: JobKind,
        client: str | None,
        states: Collection[JobState],
        after: str | None,
        limit: int,
    ) -> Page:
        conditions: list[str] = ["kind = %s"]
        values: list[object] = [kind]
        if client is not None:
            conditions.append("client = %s")
            values.append(client)
        if states:
            conditions.append("state = ANY(%s)")
            values.append(list(states))
        if is_open(states):
            conditions.append("ended_at IS NULL")
        if after is not None:
            conditions.append("sequence < (SELECT sequence FROM jobs WHERE id = %s)")
            values.append(after)
        query = (
            f"SELECT {COLUMNS} FROM jobs WHERE {' AND '.join(conditions)} "
            f"ORDER BY sequence DESC LIMIT {limit + 1:d}"
        )
        listed = await self._database.call(lambda on: jobs(on, query, values))
        return Page(tuple(listed[:limit]), listed[limit - 1].id if len(listed) > limit else None)

    async def events(self, job_id: str, attempt: int, after: int) -> Sequence[JobEvent]:
        query = (
            "SELECT attempt, number, data FROM events "
            "WHERE job = (SELECT sequence FROM jobs WHERE id = %s) "
            "AND (attempt > %s OR number > %s) ORDER BY number"
        )

        async def call(connection: Connection) -> Sequence[JobEvent]:
            found = await rows(connection, query, [job_id, attempt, after])
            return [event_of(row) for row in found]

        return await self._database.call(call)

    async def take(self, owner: str, kind: JobKind, excluded: Collection[str]) -> Job | None:
        self._takes += 1
        self._taking += 1
        try:
            job = await self._database.call(lambda on: self._take(on, owner, kind, excluded))
            if job is not None:
                self._given[job.id, job.attempt] = owner
            return job
        except Locked:
            return None
        finally:
            self._taking -= 1

    async def _take(
        self, connection: Connection, owner: str, kind: JobKind, excluded: Collection[str]
    ) -> Job | None:
        worker = self._upkeep.worker
        if worker is None:
            raise StoreUnavailable("its database has not answered yet")
        queue = JobQueue(connection)
        queues = await waiting_queues(connection, kind, excluded)
        while queues and (entry := await queue.fetch(queues, worker)) is not None:
            row = await locked(connection, row_of(entry))
            if row is None or row["ended_at"] is not None:
                await queue.remove([entry.id])
            elif row["deadline_at"] is not None and row["deadline_at"] < time.time():
                await queue.put_back(entry.id, time.time() + LATE_SECONDS)
            else:
                return await start(connection, row["sequence"], owner)
        return None

    async def beat(self, owner: str) -> set[str]:
        takes = self._takes if self._taking == 0 else None
        running = await self._database.call(lambda on: rows(on, RUNNING, [owner]))
        if takes == self._takes:  # no call of `take` has been under way meanwhile
            await self._put_back_lost(owner, running)
        return {row["id"] for row in running}

    async def _put_back_lost(self, owner: str, running: Sequence[Mapping[str, Any]]) -> None:
        """Queue what a call of `take` has taken whose answer was lost: nobody runs it."""
        attempts = {(row["id"], row["attempt"]) for row in running}
        self._given = {
            attempt: whose
            for attempt, whose in self._given.items()
            if whose != owner or attempt in attempts
        }
        for row in running:
            is_lost = (row["id"], row["attempt"]) not in self._given
            if is_lost and row["worker_id"] == self._upkeep.worker:
                await self.finish(job_of(row), Outcome(JobState.QUEUED))

    async def progress(
        self, job: Job, done_seconds: float, audio_seconds: float, events: Sequence[Json]
    ) -> bool:
        update = (
            f"UPDATE jobs SET done_seconds = %s, audio_seconds = %s WHERE {HELD} RETURNING sequence"
        )
        insert = (
            "INSERT INTO events (job, attempt, number, data) SELECT %(row)s, %(attempt)s, "
            "new.place + (SELECT COALESCE(MAX(number), 0) FROM events WHERE job = %(row)s), "
            "new.data FROM unnest(%(data)s::text[]) WITH ORDINALITY AS new (data, place)"
        )

        async def call(connection: Connection) -> bool:
            values = [done_seconds, audio_seconds, job.id, job.owner, job.attempt]
            held = await rows(connection, update, values)
            if held and events:
                data = [json.dumps(event) for event in events]
                row = held[0]["sequence"]
                await connection.execute(insert, {"row": row, "attempt": job.attempt, "data": data})
            return bool(held)

        return await self._database.call(call)

    async def finish(self, job: Job, outcome: Outcome) -> bool:
        update = (
            "UPDATE jobs SET state = %s, result = %s, error = %s, due_at = %s, ended_at = %s "
            f"WHERE {HELD} RETURNING entry"
        )

        async def call(connection: Connection) -> bool:
            values = [
                outcome.state,
                text_of(outcome.result),
                text_of(outcome.error),
                outcome.due_at,
                time.time() if outcome.state.has_ended else None,
            ]
            held = await rows(connection, update, [*values, job.id, job.owner, job.attempt])
            if not held:
                return False
            queue = JobQueue(connection)
            if outcome.state.has_ended:
                await queue.remove([held[0]["entry"]])
            else:
                await queue.put_back(held[0]["entry"], outcome.due_at)
            await insert(connection, outcome.followers)
            return True

        return await self._database.call(call)

    async def cancel(self, job_id: str, followers: Sequence[Job] = ()) -> Job | None:
        query = f"SELECT sequence, entry, {COLUMNS} FROM jobs WHERE id = %s FOR UPDATE"

        async def call(connection: Connection) -> Job | None:
            held = await rows(connection, query, [job_id])
            if not held:
                return None
            job = job_of(held[0])
            if not job.state.has_ended:
                await end(connection, held, JobState.CANCELLED, None, followers)
            return job

        return await self._database.call(call)

    async def expire(
        self, ended_before: float, followers: Callable[[Job], Sequence[Job]]
    ) -> Sequence[Job]:
        async def call(connection: Connection) -> Sequence[Job]:
            old = await jobs(connection, OLD, [ended_before])
            told = await rows(connection, TOLD, [delivery_ids(old)])
            await JobQueue(connection).remove([row["entry"] for row in told])
            late = await rows(connection, LATE, [time.time()])
            ended = [job_of(row) for row in late]
            more = [follower for job in ended for follower in followers(job)]
            await end(connection, late, JobState.EXPIRED, MISSED, more)
            return [*ended, *old]

        return await self._database.call(call)
