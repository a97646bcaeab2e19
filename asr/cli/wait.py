"""`python -m asr wait`: jobs end, and their results become files."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from asr.cli.client import (
    AGAIN_SECONDS,
    LOST,
    JobsClient,
    JobView,
    Json,
    Refused,
    Unreachable,
    connected,
)
from asr.cli.jobs import show
from asr.cli.options import IDS, QUIET, output_options, server_options
from asr.cli.output import write_whole
from asr.cli.progress import AudioBar, say
from asr.cli.recordings import SUFFIXES, Format
from asr.concurrency import end_tasks

AT_ONCE = 16  # So many jobs are followed at once, each by a connection.
LOST_SECONDS = 60.0  # A server that was there and is gone for so many seconds is given up.
LOOK_SECONDS = 1.0  # The progress of a job is asked for at most so often.


@dataclass(frozen=True)
class Fetching:
    """Which results are fetched, and where they go."""

    formats: tuple[Format, ...]
    directory: Path | None  # None: to stdout
    is_json: bool


@dataclass
class Watch:
    """Follows jobs; what is known of each."""

    client: JobsClient
    jobs: dict[str, JobView] = field(default_factory=dict)  # by id
    looked_at: dict[str, float] = field(default_factory=dict)  # by id, seconds of the loop's clock
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def ended(self, job_id: str) -> Json:
        """The job, once it has ended.

        Raises:
            Unreachable: there is no server, or it has been away for LOST_SECONDS.
        """
        async with self.turns:
            found, last, lost = await self._look(job_id), "", 0.0
            while not self.jobs[job_id].has_ended:
                try:
                    async with contextlib.aclosing(self.client.events(job_id, last)) as events:
                        async for identity in events:
                            last = identity
                            await self._look_again(job_id)
                    found, lost = await self._look(job_id), 0.0
                except (Unreachable, *LOST):  # the server may be starting again
                    lost += AGAIN_SECONDS
                    if lost > LOST_SECONDS:
                        raise
                await asyncio.sleep(0 if self.jobs[job_id].has_ended else AGAIN_SECONDS)
            return found

    async def _look_again(self, job_id: str) -> None:
        """Ask how far a job is, unless that was done a moment ago."""
        if asyncio.get_running_loop().time() - self.looked_at[job_id] > LOOK_SECONDS:
            await self._look(job_id)

    async def _look(self, job_id: str) -> Json:
        found = await self.client.get(job_id)
        self.jobs[job_id] = JobView.of(found)
        self.looked_at[job_id] = asyncio.get_running_loop().time()
        return found

    def show(self, bar: AudioBar, ended: int, count: int) -> None:
        done = sum(job.done for job in self.jobs.values())
        total = sum(job.total for job in self.jobs.values())
        bar.show(f"{ended}/{count} jobs", done, total)


@click.command("wait")
@IDS
@output_options(
    "Fetch the result as this; may be repeated.",
    "Directory for the results, each under its job's id; without it they are printed.",
)
@QUIET
@server_options
def wait_command(
    ids: tuple[str, ...],
    formats: tuple[Format, ...],
    directory: Path | None,
    is_quiet: bool,
    server: str,
    api_key: str | None,
    is_json: bool,
) -> int:
    """Wait until jobs have ended, and fetch their results.

    The connection may break meanwhile, and the server may be started again: waiting goes on.

    Exit code 1: a job failed, was cancelled or expired, or the server does not know it.
    """
    if directory is not None and not formats:
        formats = ("text",)
    fetching = Fetching(formats, directory, is_json)
    return asyncio.run(_wait(list(dict.fromkeys(ids)), fetching, is_quiet, server, api_key))


async def _wait(
    ids: Sequence[str], fetching: Fetching, is_quiet: bool, server: str, api_key: str | None
) -> int:
    completed = ended = 0
    async with connected(server, api_key) as client:
        watch = Watch(client)
        tasks = {asyncio.create_task(_finished(watch, job_id, fetching)) for job_id in ids}
        try:
            with AudioBar(shown=not is_quiet, delay=LOOK_SECONDS) as bar:
                while tasks:
                    done, tasks = await asyncio.wait(tasks, timeout=LOOK_SECONDS)
                    completed += sum(task.result() for task in done)
                    ended += len(done)
                    watch.show(bar, ended, len(ids))
        finally:
            await end_tasks(*tasks)
    return int(completed < len(ids))


async def _finished(watch: Watch, job_id: str, fetching: Fetching) -> bool:
    """Wait for a job and fetch its results; return whether it is completed."""
    try:
        found = await watch.ended(job_id)
        job = watch.jobs[job_id]
        results: dict[Format, str] = {}
        for each in fetching.formats if job.is_completed else ():
            results[each] = await watch.client.result(job_id, each)
        await asyncio.to_thread(_give_out, found, results, fetching)
    except (Refused, OSError) as error:
        reason = error.message if isinstance(error, Refused) else str(error)
        say(f"{job_id}: {reason}", err=True)
        return False
    return job.is_completed


def _give_out(found: Json, results: dict[Format, str], fetching: Fetching) -> None:
    """Write the results into files, or print them."""
    paths = []
    if fetching.directory is not None:
        for each, content in results.items():
            path = fetching.directory / (JobView.of(found).id + SUFFIXES[each])
            write_whole(path, content)
            paths.append(str(path))
    if fetching.is_json:
        more = {"outputs": paths} if paths else {"results": results} if results else {}
        say(json.dumps({**found, **more}, ensure_ascii=False))
    elif results:
        say("\n".join(paths or [text.rstrip("\n") for text in results.values()]))
    else:
        show(found, is_json=False)
