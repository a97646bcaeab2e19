"""Kill the servers of a store at random moments, and count what became of their jobs.

make kill-test
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from asr.jobs import postgres_store, sqlite_store
from asr.jobs.job import JobKind, JobState
from tests.conftest import ROOT
from tests.support.postgres import Postgres, running_postgres

FROZEN_SECONDS = 40.0  # A replica is stopped for so long, and goes on then.
AWAY_SECONDS = 6.0  # The store is dead for so long.
ENOUGH_SECONDS = 120.0  # What is not done so long after the last harm is lost or stuck.


@dataclass
class Cluster:
    """Some workers on one store, and the record of what they did."""

    place: str
    record: Path
    workers: int
    jobs: int
    options: tuple[str, ...] = ()
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        while len(self.processes) < self.workers:
            self.processes.append(self._worker(self.jobs))

    def _worker(self, jobs: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.support.job_worker", self.place, self.record]
        command += [f"--jobs={jobs}", *self.options]
        with self.record.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill one at random, and start another in its place."""
        place = random.randrange(len(self.processes))
        self.processes[place].kill()
        self.processes[place].wait(60)
        self.processes[place] = self._worker(10)  # it adds some that are known again

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(60)

    def lines(self, what: str) -> list[str]:
        """The ids of what was done, a line each time."""
        if not self.record.exists():
            return []
        pairs = [line.split() for line in self.record.read_text().splitlines()]
        return [job_id for said, job_id in pairs if said == what]

    def done(self) -> int:
        return len(set(self.lines("delivered")))

    def until(self, claim: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not claim() and time.monotonic() < end:
            time.sleep(0.02)


@dataclass(frozen=True)
class Count:
    """What became of the jobs of a cluster."""

    jobs: int
    harm: str
    completed: int
    done_twice: int  # jobs that were finished twice, by the store's word
    worked_twice: int  # jobs whose work ended twice: a kill fell between its end and its record
    delivered: int  # webhooks, each by its own id
    doubled: int  # ids of webhooks that were sent twice, as after a kill between sending and record
    seconds: float  # from the last harm to the last webhook

    @property
    def lost(self) -> int:
        return self.jobs - self.completed

    def row(self, store: str) -> str:
        cells = [store, self.jobs, self.harm, self.completed, self.lost, self.done_twice]
        cells += [self.worked_twice, self.delivered, self.doubled, f"{self.seconds:.1f} s"]
        return f"| {' | '.join(map(str, cells))} |"


HEAD = (
    "| store | jobs | harm | completed | lost | done twice | work repeated | webhooks delivered "
    "| doubled ids | after the last harm |\n|---|---|---|---|---|---|---|---|---|---|"
)


async def completed(cluster: Cluster) -> int:
    """How many jobs the store itself calls completed."""
    if cluster.place.startswith("postgresql"):
        opened = postgres_store.open_store(cluster.place)
    else:
        opened = sqlite_store.open_store(Path(cluster.place))  # type: ignore[assignment]
    async with opened as store:
        states = [JobState.COMPLETED]
        page = await store.page(JobKind.TRANSCRIPTION, None, states, None, cluster.jobs + 1)
        return len(page.jobs)


def counted(cluster: Cluster, harm: str, harmed_at: float, enough: float) -> Count:
    cluster.until(lambda: cluster.done() >= cluster.jobs, enough)
    seconds = time.monotonic() - harmed_at
    cluster.stop()
    times = {
        what: collections.Counter(cluster.lines(what))
        for what in ("finished", "worked", "delivered")
    }
    twice = {what: sum(count > 1 for count in found.values()) for what, found in times.items()}
    return Count(
        jobs=cluster.jobs,
        harm=harm,
        completed=asyncio.run(completed(cluster)),
        done_twice=twice["finished"],
        worked_twice=twice["worked"],
        delivered=len(times["delivered"]),
        doubled=twice["delivered"],
        seconds=seconds,
    )


@contextlib.contextmanager
def cluster_of(
    place: str, workers: int, jobs: int, options: tuple[str, ...] = ()
) -> Iterator[Cluster]:
    """Run workers, and wait until the first is at work."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(
            place or f"{folder}/jobs", Path(folder) / "record", workers, jobs, options
        )
        try:
            cluster.start()
            cluster.until(lambda: bool(cluster.lines("worked")), ENOUGH_SECONDS)
            yield cluster
        finally:
            cluster.stop()


def killed(
    place: str,
    workers: int,
    jobs: int,
    kills: int,
    options: tuple[str, ...] = (),
    enough: float = ENOUGH_SECONDS,
) -> Count:
    """Kill workers at random moments of their work; a new one gets to work in between."""
    with cluster_of(place, workers, jobs, options) as cluster:
        harmed_at = 0.0
        for _ in range(kills):
            ready, worked = len(cluster.lines("ready")), len(cluster.lines("worked"))
            cluster.kill()
            harmed_at = time.monotonic()
            wanted = worked + random.randint(1, max(jobs // kills - 4, 2))
            cluster.until(
                lambda ready=ready, wanted=wanted: (  # type: ignore[misc]
                    len(cluster.lines("ready")) > ready and len(cluster.lines("worked")) >= wanted
                ),
                30.0,
            )
        return counted(cluster, f"{kills} x kill -9", harmed_at, enough)


def frozen(place: str, workers: int, jobs: int) -> Count:
    with cluster_of(place, workers, jobs) as cluster:
        cluster.processes[0].send_signal(signal.SIGSTOP)
        time.sleep(FROZEN_SECONDS)
        cluster.processes[0].send_signal(signal.SIGCONT)
        harmed_at = time.monotonic()
        time.sleep(3.0)  # it tries to finish what it had
        return counted(cluster, f"frozen for {FROZEN_SECONDS:g} s", harmed_at, ENOUGH_SECONDS)


def bereft(server: Postgres, workers: int, jobs: int) -> Count:
    with cluster_of(server.url, workers, jobs) as cluster:
        server.stop(signal.SIGQUIT)
        time.sleep(AWAY_SECONDS)
        server.start()
        return counted(
            cluster, f"store dead for {AWAY_SECONDS:g} s", time.monotonic(), ENOUGH_SECONDS
        )


def main() -> None:
    print(HEAD, flush=True)
    print(killed("", 1, 200, 10).row("SQLite, 1 server"), flush=True)
    with running_postgres(options=()) as server:

        def emptied() -> str:
            server.execute("DROP SCHEMA IF EXISTS asr CASCADE")
            return server.url

        name = "PostgreSQL, 3 servers"
        print(killed(emptied(), 3, 200, 10).row(name), flush=True)
        print(frozen(emptied(), 3, 200).row(name), flush=True)
        emptied()
        print(bereft(server, 3, 200).row(name), flush=True)


if __name__ == "__main__":
    main()
