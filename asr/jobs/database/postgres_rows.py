"""The rows of jobs in PostgreSQL; each call is part of its caller's transaction."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from asr.jobs.database.postgres import Connection
from asr.jobs.database.postgres_queue import JobQueue, queue_of
from asr.jobs.database.rows import COLUMNS, NAMES, job_of, text_of, values_of
from asr.jobs.job import Job, JobKind, JobState, Json

NUMBERS = {"priority": "integer", "attempt": "integer"}  # All other numbers are doubles.
NUMBERS |= {name: "double precision" for name in NAMES if name.endswith(("_at", "_seconds"))}
INSERT = f"""
INSERT INTO jobs ({COLUMNS})
SELECT * FROM unnest({", ".join(f"%s::{NUMBERS.get(name, 'text')}[]" for name in NAMES)})
ON CONFLICT (id) DO NOTHING RETURNING sequence, id
"""
AHEAD = """
SELECT COALESCE(SUM(audio_seconds), 0) AS seconds FROM jobs WHERE kind = %s AND state = 'queued'
AND priority >= %s AND (priority > %s OR sequence < %s)
"""
# The clients with queued jobs, found one after the other by the index: few have many jobs.
CLIENTS = """
WITH RECURSIVE found AS (
    (SELECT client FROM jobs WHERE kind = %(kind)s AND state = 'queued' ORDER BY client LIMIT 1)
    UNION ALL
    SELECT (SELECT client FROM jobs WHERE kind = %(kind)s AND state = 'queued'
        AND client > found.client ORDER BY client LIMIT 1)
    FROM found WHERE found.client IS NOT NULL
) SELECT client FROM found WHERE client IS NOT NULL
"""
START = f"""
UPDATE jobs SET state = 'running', owner = %s, attempt = attempt + 1, started_at = %s,
    done_seconds = 0
WHERE sequence = %s RETURNING {COLUMNS}
"""


class Locked(Exception):
    """The job is being changed by another: it is taken the next time."""


async def rows(
    connection: Connection, query: str, values: Sequence[object]
) -> list[dict[str, Any]]:
    cursor = await connection.execute(query, values)
    return await cursor.fetchall()


async def jobs(connection: Connection, query: str, values: Sequence[object]) -> list[Job]:
    return [job_of(row) for row in await rows(connection, query, values)]


async def insert(connection: Connection, new: Sequence[Job]) -> None:
    """Add jobs and their entries in the queue; those whose ids are known change nothing."""
    if new:
        named: dict[str, Job] = {}
        for job in new:
            named.setdefault(job.id, job)
        columns = zip(*(values_of(job) for job in named.values()), strict=True)
        added = await rows(connection, INSERT, [list(column) for column in columns])
        await JobQueue(connection).add([(row["sequence"], named[row["id"]]) for row in added])


async def found(connection: Connection, job_id: str, with_result: bool = False) -> Job | None:
    more = ", result" if with_result else ""
    query = f"SELECT sequence, {COLUMNS}{more} FROM jobs WHERE id = %s"
    for row in await rows(connection, query, [job_id]):
        if row["state"] != JobState.QUEUED:
            return job_of(row)
        values = [row["kind"], row["priority"], row["priority"], row["sequence"]]
        [ahead] = await rows(connection, AHEAD, values)
        return job_of(row, ahead["seconds"])
    return None


async def waiting_queues(
    connection: Connection, kind: JobKind, excluded: Collection[str]
) -> list[str]:
    """The queues of a kind whose clients have queued jobs, and are not excluded."""
    cursor = await connection.execute(CLIENTS, {"kind": kind})
    clients = [row["client"] for row in await cursor.fetchall()]
    return [queue_of(kind, client) for client in clients if client not in excluded]


async def locked(connection: Connection, sequence: int) -> Mapping[str, Any] | None:
    """The row of a job whose entry we have, locked; None: it is gone.

    Others lock a row first and its entry then: who has the entry must not wait for the row.

    Raises:
        Locked: another call has the row.
    """
    query = f"SELECT sequence, {COLUMNS} FROM jobs WHERE sequence = %s FOR UPDATE SKIP LOCKED"
    for row in await rows(connection, query, [sequence]):
        return row
    if await rows(connection, "SELECT 1 FROM jobs WHERE sequence = %s", [sequence]):
        raise Locked
    return None


async def start(connection: Connection, sequence: int, owner: str) -> Job:
    """Let a job run, begun anew."""
    await connection.execute("DELETE FROM events WHERE job = %s", [sequence])
    [row] = await rows(connection, START, [owner, time.time(), sequence])
    return job_of(row)


async def end(
    connection: Connection,
    ended: Sequence[Mapping[str, Any]],
    state: JobState,
    error: Json | None,
    followers: Sequence[Job],
) -> None:
    """End jobs whose rows are locked, take them out of the queue, and add the followers."""
    await connection.execute(
        "UPDATE jobs SET state = %s, error = %s, ended_at = %s WHERE sequence = ANY(%s)",
        [state, text_of(error), time.time(), [row["sequence"] for row in ended]],
    )
    await JobQueue(connection).remove([row["entry"] for row in ended])
    await insert(connection, followers)
