"""Jobs in a file survive kill -9; the store does what a plain list of jobs would do."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from asr.jobs import sqlite_store
from asr.jobs.job import Job, JobKind, JobState, Outcome
from asr.jobs.sqlite_store import SqliteStore
from tests.conftest import ROOT
from tests.support.job_stores import job, nobody

TRANSCRIPTION = JobKind.TRANSCRIPTION
WORKER = """
import asyncio, sys
from pathlib import Path
from asr.jobs.job import JobKind, JobState, Outcome
from asr.jobs.sqlite_store import open_store
from tests.support.job_stores import job

async def main():
    async with open_store(Path(sys.argv[1])) as store:
        number = 0
        while True:
            name = f"job-{number}"
            await store.add(job(name))
            print("added", name, flush=True)
            taken = await store.take("one", JobKind.TRANSCRIPTION, ())
            if number % 2:
                follower = job(taken.id + "~completed", JobKind.DELIVERY)
                await store.finish(taken, Outcome(JobState.COMPLETED, {}, followers=[follower]))
                print("done", taken.id, flush=True)
            else:
                print("taken", taken.id, flush=True)
            number += 1

asyncio.run(main())
"""


def said_until_killed(directory: Path) -> list[str]:
    """What a process has said of its work in the store before it was killed in mid-work."""
    command = [sys.executable, "-c", WORKER, str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(40)]
        process.kill()
        return lines + process.stdout.readlines()


async def test_after_kill_9_all_that_was_answered_is_there_and_what_ran_is_queued(tmp_path):
    lines = said_until_killed(tmp_path)
    whole = [line.split() for line in lines if line.endswith("\n")]
    assert len(whole) >= 40
    async with sqlite_store.open_store(tmp_path) as store:
        for said, name in whole:
            found = await store.get(name)
            assert found is not None, name
            if said == "taken":
                assert (found.state, found.attempt, found.done_seconds) == ("queued", 1, 0.0)
            if said == "done":
                assert found.state is JobState.COMPLETED
                assert await store.get(name + "~completed") is not None
        page = await store.page(TRANSCRIPTION, None, [JobState.RUNNING], None, 1)
        assert page.jobs == ()


async def test_a_job_that_is_taken_for_nobody_is_put_back(tmp_path):
    async with sqlite_store.open_store(tmp_path) as store:
        await store.add(job("a"))
        attempt = await store.take("one", TRANSCRIPTION, ())
        await store._database.call(lambda: store._put_back(attempt))
        assert await store.beat("one") == set()
        again = await store.take("one", TRANSCRIPTION, ())
        assert again is not None
        assert again.attempt == 2
        await store._database.call(lambda: store._put_back(attempt))  # it is too late for this
        assert await store.beat("one") == {"a"}


async def test_no_call_reads_all_jobs(tmp_path):
    """Every query finds its rows by an index; a listing reads one in its order."""
    async with sqlite_store.open_store(tmp_path) as store:
        statements: list[str] = []
        store._database._connection.set_trace_callback(statements.append)
        await store.add(job("a"))
        attempt = await store.take("one", TRANSCRIPTION, ["x"])
        assert attempt is not None
        await store.progress(attempt, 1.0, 1.0, [{"a": 1}])
        await store.events("a", 1, 0)
        await store.beat("one")
        await store.finish(attempt, Outcome(JobState.QUEUED))
        await store.get("a")
        await store.page(TRANSCRIPTION, "", [JobState.FAILED], "a", 5)
        await store.cancel("a")
        await store.expire(1.0, nobody)
        store._database._connection.set_trace_callback(None)
        words = ("SELECT", "UPDATE", "DELETE")
        for statement in [each for each in statements if each.startswith(words)]:
            query = f"EXPLAIN QUERY PLAN {statement}"
            rows = await store._database.call(lambda query=query: store._database.rows(query, []))
            plan = [row["detail"] for row in rows]
            assert not [step for step in plan if step.startswith(("SCAN", "USE TEMP"))], statement


class PlainJobs:
    """What a store of jobs is, in the plainest words; jobs of one kind."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}

    def add(self, given: Job) -> None:
        self.jobs.setdefault(given.id, given)

    def take(self, owner: str, excluded: set[str]) -> Job | None:
        waiting = [
            one
            for one in self.jobs.values()
            if one.state is JobState.QUEUED
            and one.due_at <= time.time()
            and one.client not in excluded
            and (one.deadline_at is None or one.deadline_at > time.time())
        ]
        if not waiting:
            return None
        first = max(waiting, key=lambda one: one.priority)  # the oldest of them
        return self.change(first.id, state=JobState.RUNNING, owner=owner, attempt=first.attempt + 1)

    def change(self, job_id: str, **changes: object) -> Job:
        self.jobs[job_id] = dataclasses.replace(self.jobs[job_id], **changes)  # type: ignore[arg-type]
        return self.jobs[job_id]

    def finish(self, attempt: Job, outcome: Outcome) -> bool:
        now = self.jobs.get(attempt.id)
        if now is None or now.state is not JobState.RUNNING or now.attempt != attempt.attempt:
            return False
        self.change(now.id, state=outcome.state, due_at=outcome.due_at)
        for follower in outcome.followers:
            self.add(follower)
        return True

    def end(self, job_id: str, state: JobState) -> None:
        if job_id in self.jobs and not self.jobs[job_id].state.has_ended:
            self.change(job_id, state=state)

    def expire(self, forget: bool) -> set[str]:
        old = {name for name, one in self.jobs.items() if forget and one.state.has_ended}
        for name in old:
            del self.jobs[name]
        late = {
            name
            for name, one in self.jobs.items()
            if not one.state.has_ended and one.deadline_at and one.deadline_at < time.time()
        }
        for name in late:
            self.end(name, JobState.EXPIRED)
        return old | late


names = st.sampled_from("abcdef")
times = st.sampled_from([0.0, time.time() + 1e6])


@settings(max_examples=8, stateful_step_count=40)
class StoreMachine(RuleBasedStateMachine):
    """Calls a store and `PlainJobs` alike; both always say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = PlainJobs()
        self.attempts: list[Job] = []
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()

    @initialize()
    def opened(self) -> None:
        self.open()

    def open(self) -> None:
        self.context = sqlite_store.open_store(Path(self.directory.name))
        self.store: SqliteStore = self.runner.run(self.context.__aenter__())

    @rule(name=names, priority=st.integers(-1, 1), client=st.sampled_from(["", "x"]), due=times)
    def add(self, name: str, priority: int, client: str, due: float) -> None:
        given = job(name, priority=priority, client=client, due_at=due)
        self.runner.run(self.store.add(given))
        self.plain.add(given)

    @rule(name=names, late=st.booleans())
    def add_with_deadline(self, name: str, late: bool) -> None:
        given = job(name, deadline_at=time.time() + (-1 if late else 1e6))
        self.runner.run(self.store.add(given))
        self.plain.add(given)

    @rule(owner=st.sampled_from(["one", "two"]), excluded=st.sets(st.sampled_from(["", "x"])))
    def take(self, owner: str, excluded: set[str]) -> None:
        taken = self.runner.run(self.store.take(owner, TRANSCRIPTION, excluded))
        plain = self.plain.take(owner, excluded)
        assert (taken and taken.id) == (plain and plain.id)
        if taken is not None:
            self.attempts.append(taken)

    @rule(
        data=st.data(),
        state=st.sampled_from([JobState.QUEUED, JobState.COMPLETED, JobState.FAILED]),
        due=times,
        follower=names,
    )
    def finish(self, data: st.DataObject, state: JobState, due: float, follower: str) -> None:
        if self.attempts:
            attempt = data.draw(st.sampled_from(self.attempts))
            outcome = Outcome(state, due_at=due, followers=[job(follower)])
            finished = self.runner.run(self.store.finish(attempt, outcome))
            assert finished == self.plain.finish(attempt, outcome)

    @rule(name=names)
    def cancel(self, name: str) -> None:
        self.runner.run(self.store.cancel(name))
        self.plain.end(name, JobState.CANCELLED)

    @rule(forget=st.booleans())
    def expire(self, forget: bool) -> None:
        before = time.time() + 60 if forget else 0.0
        found = self.runner.run(self.store.expire(before, nobody))
        assert {one.id for one in found} == self.plain.expire(forget)

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.context.__aexit__(None, None, None))
        self.open()
        for one in list(self.plain.jobs.values()):
            if one.state is JobState.RUNNING:
                self.plain.change(one.id, state=JobState.QUEUED)

    @rule(state=st.sampled_from([*JobState, None]), client=st.sampled_from(["", "x", None]))
    def page(self, state: JobState | None, client: str | None) -> None:
        states = [] if state is None else [state]
        page = self.runner.run(self.store.page(TRANSCRIPTION, client, states, None, 100))
        assert [one.id for one in page.jobs] == [
            one.id
            for one in reversed(self.plain.jobs.values())
            if client in (one.client, None) and state in (one.state, None)
        ]

    @rule(owner=st.sampled_from(["one", "two"]))
    def beat(self, owner: str) -> None:
        assert self.runner.run(self.store.beat(owner)) == {
            name
            for name, one in self.plain.jobs.items()
            if one.owner == owner and one.state is JobState.RUNNING
        }

    def teardown(self) -> None:
        for name, one in self.plain.jobs.items():
            found = self.runner.run(self.store.get(name))
            assert found is not None
            assert (found.state, found.attempt, found.due_at) == (
                one.state,
                one.attempt,
                one.due_at,
            )
        self.runner.run(self.context.__aexit__(None, None, None))
        self.runner.close()
        self.directory.cleanup()


test_the_store_does_what_a_plain_list_of_jobs_does = StoreMachine.TestCase


async def test_no_look_at_jobs_reads_all_that_have_ended(tmp_path, monkeypatch):
    async with sqlite_store.open_store(tmp_path) as store:
        await store.add(job("a", client="one"))
        database, plans = store._database, []
        rows, row = database.rows, database.row

        def explained(query, values, call):
            plans.extend(each["detail"] for each in rows(f"EXPLAIN QUERY PLAN {query}", values))
            return call(query, values)

        monkeypatch.setattr(database, "rows", lambda *asked: explained(*asked, rows))
        monkeypatch.setattr(database, "row", lambda *asked: explained(*asked, row))
        await store.get("a")
        await store.page(TRANSCRIPTION, "one", (), "a", 10)
        await store.page(TRANSCRIPTION, "one", {JobState.FAILED}, None, 10)
        await store.page(TRANSCRIPTION, None, {JobState.QUEUED, JobState.RUNNING}, None, 10)
        await store.take("me", TRANSCRIPTION, {"two"})
        await store.beat("me")
        await store.expire(0.0, nobody)
    assert plans
    slow = [plan for plan in plans if "SCAN" in plan.replace("SCALAR", "") or "jobs_listed" in plan]
    assert slow == []
