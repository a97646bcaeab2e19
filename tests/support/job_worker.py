"""Run a worker of jobs as a process that a test kills: python -m tests.support.job_worker.

It adds all jobs (known ids change nothing), works at some at once, and writes down what it did.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from asr.errors import StoreUnavailable
from asr.jobs import postgres_store, sqlite_store
from asr.jobs.database import postgres_upkeep
from asr.jobs.job import Job, JobKind, JobState, Outcome
from asr.jobs.store import JobStore

AT_ONCE = 4  # A worker has at most so many jobs.
BEAT_SECONDS = 0.25  # It asks so often which jobs are still its own.
STEP_SECONDS = 0.05  # Its work goes on in such steps.
POLL_SECONDS = 0.1  # With nothing to do, it looks again after so long.


class Worker:
    """Takes jobs, works, and finishes them, as a server does."""

    def __init__(self, store: JobStore, record: int, seconds: float) -> None:
        self.store, self.record, self.seconds = store, record, seconds
        self.owner = uuid.uuid4().hex
        self.running: dict[str, asyncio.Task[None]] = {}

    def write(self, what: str, job_id: str) -> None:
        os.write(self.record, f"{what} {job_id}\n".encode())  # one write: no line is torn

    async def run(self, count: int) -> None:
        for number in range(count):
            new = Job(f"job-{number}", JobKind.TRANSCRIPTION, {}, audio_seconds=self.seconds)
            await until_kept(self.store, new)
        self.write("ready", self.owner)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.beats())
            while True:
                with contextlib.suppress(StoreUnavailable):
                    for kind in (JobKind.DELIVERY, JobKind.TRANSCRIPTION):
                        while len(self.running) < AT_ONCE and (taken := await self.take(kind)):
                            work = self.deliver if kind is JobKind.DELIVERY else self.transcribe
                            self.running[taken.id] = group.create_task(work(taken))
                await asyncio.sleep(POLL_SECONDS)

    async def take(self, kind: JobKind) -> Job | None:
        return await self.store.take(self.owner, kind, ())

    async def beats(self) -> None:
        while True:
            with contextlib.suppress(StoreUnavailable):
                before = set(self.running)
                for lost in before - await self.store.beat(self.owner):
                    if lost in self.running:
                        self.running.pop(lost).cancel()
            await asyncio.sleep(BEAT_SECONDS)

    async def transcribe(self, taken: Job) -> None:
        with self.ended(taken):
            for step in range(round(self.seconds / STEP_SECONDS)):
                await asyncio.sleep(STEP_SECONDS)
                if step == 2:
                    with contextlib.suppress(StoreUnavailable):
                        await self.store.progress(taken, 0.1, self.seconds, [{"text": taken.id}])
            self.write("worked", taken.id)
            follower = Job(f"{taken.id}~completed", JobKind.DELIVERY, {})
            result = {"text": f"the words of {taken.id}"}
            await self.finish(taken, Outcome(JobState.COMPLETED, result, followers=[follower]))

    async def deliver(self, taken: Job) -> None:
        with self.ended(taken):
            self.write("delivered", taken.id)
            await self.finish(taken, Outcome(JobState.COMPLETED, {}))

    async def finish(self, taken: Job, outcome: Outcome) -> None:
        while True:
            with contextlib.suppress(StoreUnavailable):
                if await self.store.finish(taken, outcome):
                    self.write("finished", taken.id)
                return
            await asyncio.sleep(POLL_SECONDS)

    @contextlib.contextmanager
    def ended(self, taken: Job) -> Iterator[None]:
        try:
            yield
        finally:
            self.running.pop(taken.id, None)


async def until_kept(store: JobStore, new: Job) -> None:
    while True:
        with contextlib.suppress(StoreUnavailable):
            await store.add(new)
            return
        await asyncio.sleep(POLL_SECONDS)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("place", help="a directory, or a URL of PostgreSQL")
    parser.add_argument("record", type=Path)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--dead", type=float, default=postgres_upkeep.DEAD_SECONDS)
    given = parser.parse_args()
    postgres_upkeep.BEAT_SECONDS = min(postgres_upkeep.BEAT_SECONDS, given.dead / 5)
    postgres_upkeep.DEAD_SECONDS = given.dead
    record = os.open(given.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if given.place.startswith("postgresql"):
        opened = postgres_store.open_store(given.place)
    else:
        opened = sqlite_store.open_store(Path(given.place))  # type: ignore[assignment]
    async with opened as store:
        await Worker(store, record, given.seconds).run(given.jobs)


if __name__ == "__main__":
    asyncio.run(main())
