"""How servers of one store show each other that they live, and take over from the dead."""

from __future__ import annotations

import asyncio
import logging
import time

from asr.concurrency import Outage
from asr.jobs.database.postgres import Connection, Failures, PostgresDatabase
from asr.jobs.database.postgres_queue import Entry, JobQueue, row_of
from asr.jobs.database.postgres_rows import rows
from asr.jobs.database.rows import COLUMNS, job_of

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0  # A server shows so often that it lives.
DEAD_SECONDS = 10.0  # The jobs of a server that has not done so for this long are taken over.
REPAIR_SECONDS = 30.0  # So often, rows and entries that contradict each other are looked for.
FORGET_SECONDS = 3600.0  # A dead server without jobs is forgotten after this time.
LOCK = 7_103_214_402  # One server at a time looks for the dead.
REPAIR_ROWS = 200  # At most so many rows are repaired at once.
# A queued row has an entry that waits, a running one an entry that somebody has.
CONTRADICTIONS = f"""
SELECT jobs.sequence, {", ".join(f"jobs.{name}" for name in COLUMNS.split(", "))}, jobs.entry
FROM jobs LEFT JOIN procrastinate_jobs AS entries ON entries.id = jobs.entry
WHERE jobs.state IN ('queued', 'running') AND entries.status::text IS DISTINCT FROM
    CASE jobs.state WHEN 'queued' THEN 'todo' ELSE 'doing' END
LIMIT {REPAIR_ROWS} FOR UPDATE OF jobs SKIP LOCKED
"""


class Upkeep:
    """Beats for a server, in the thread of the database, and takes over what the dead had."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._task: asyncio.Task[None] | None = None
        self._steady_since: float | None = None  # since when it has been able to beat
        self._last_beat = 0.0
        self._next_repair = 0.0
        self._outage = Outage(
            log, "other servers take this one for dead", "other servers see this one", Failures
        )
        self.worker: int | None = None  # its number among procrastinate's workers

    async def start(self) -> None:
        async def started() -> None:
            await self._step()
            self._task = asyncio.create_task(self._run())

        await self._database.run(started())

    async def stop(self) -> None:
        """End; what is still running belongs to nobody then, and others take it at once."""

        async def stopped() -> None:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
            if self.worker is not None:
                await self._database.transaction(self._unregister)

        try:
            await self._database.run(stopped())
        except Failures as error:
            log.warning("the job store was not told that this server ends: %s", error)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._step()

    async def _step(self) -> None:
        now = time.monotonic()
        if self._last_beat and now - self._last_beat > DEAD_SECONDS / 2:
            self._steady_since = None  # it was frozen, or the database was away
        with self._outage.survived("a look for dead servers"):  # or we would look dead, too
            await self._database.transaction(self._beat)
            self._last_beat = time.monotonic()
            self._steady_since = self._steady_since or self._last_beat
            if self._last_beat - self._steady_since >= DEAD_SECONDS:
                # All that live have been able to beat again by now.
                await self._database.transaction(self._take_over)
                if now >= self._next_repair:
                    self._next_repair = now + REPAIR_SECONDS
                    await self._database.transaction(repair)

    async def _beat(self, connection: Connection) -> None:
        manager = await JobQueue(connection).manager()
        if self.worker is not None:
            await manager.update_heartbeat(self.worker)
            query = "SELECT 1 FROM procrastinate_workers WHERE id = %s"
            if await rows(connection, query, [self.worker]):
                return
        self.worker = await manager.register_worker()

    async def _unregister(self, connection: Connection) -> None:
        if self.worker is not None:
            await (await JobQueue(connection).manager()).unregister_worker(self.worker)

    async def _take_over(self, connection: Connection) -> None:
        query = "SELECT pg_try_advisory_xact_lock(%s) AS mine"
        if not (await rows(connection, query, [LOCK]))[0]["mine"]:
            return
        queue = JobQueue(connection)
        manager = await queue.manager()
        for entry in await manager.get_stalled_jobs(seconds_since_heartbeat=DEAD_SECONDS):
            await _free(connection, queue, entry)
        # Only now: entries of workers that are forgotten would have nobody's name.
        await manager.prune_stalled_workers(FORGET_SECONDS)


async def _free(connection: Connection, queue: JobQueue, entry: Entry) -> None:
    """Queue the job of an entry that a dead server has, unless somebody was faster."""
    query = "SELECT id, state FROM jobs WHERE sequence = %s FOR UPDATE SKIP LOCKED"
    found = await rows(connection, query, [row_of(entry)])
    query = (  # the row is ours now, so that the entry stays as it is
        "SELECT 1 FROM procrastinate_jobs "
        "WHERE id = %s AND status = 'doing' AND worker_id IS NOT DISTINCT FROM %s"
    )
    if not found or not await rows(connection, query, [entry.id, entry.worker_id]):
        return
    log.warning("the server that ran job %s has died: it is queued again", found[0]["id"])
    await connection.execute(
        "UPDATE jobs SET state = 'queued', done_seconds = 0 WHERE sequence = %s", [row_of(entry)]
    )
    await queue.put_back(entry.id, time.time())


async def repair(connection: Connection) -> None:
    """Queue the jobs whose entry was lost or changed by others: our row is the truth."""
    queue = JobQueue(connection)
    found = await rows(connection, CONTRADICTIONS, [])
    for row in found:
        log.error("job %s was %s without its entry: queued again", row["id"], row["state"])
        await connection.execute(
            "UPDATE jobs SET state = 'queued', done_seconds = 0 WHERE sequence = %s",
            [row["sequence"]],
        )
    await queue.remove([row["entry"] for row in found])
    await queue.add([(row["sequence"], job_of(row)) for row in found])
