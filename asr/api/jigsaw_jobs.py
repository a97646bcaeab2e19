"""Jobs of JigsawStack's two APIs: their audio is kept, and their end is told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from asr.audio.streams import Source
from asr.concurrency import run_in_thread
from asr.errors import AsrError
from asr.http import requests
from asr.http.app_keys import CLIENT, JOBS
from asr.http.bodies.json_object import DataUri
from asr.http.job_audio import Keep
from asr.jobs.job import Job, JobState, Json
from asr.options import Timestamps

READ_BYTES = 2**20  # So much of an uploaded file is read at a time.
CANCELLED = "the task was cancelled"
CANCELLED_STATUS = 409  # Who waits for a job that is cancelled gets this status.


@dataclass(frozen=True)
class RequestAudio:
    """The audio of a request, to be transcribed now or by a job."""

    source: Source
    url: str | DataUri | None = None  # None: the request's body has it

    @property
    def for_a_job(self) -> Source | str | DataUri:
        """Its URL, where it has one, or its bytes."""
        return self.source if self.url is None else self.url


class NotedDoor(requests.Open):
    """Audio that may be transcribed at once; its URL is noted for a job."""

    url: str | DataUri | None = None

    async def located(self, url: str | DataUri) -> Source:
        self.url = url
        return await super().located(url)


async def kept(
    request: web.Request,
    stack: contextlib.AsyncExitStack,
    audio: Source | str | DataUri,
    asked: BaseModel,
) -> tuple[Json, str]:
    """Keep the audio for a job; return where it is, and a fingerprint of all that is asked.

    Where the stack is left with an error, nothing is kept.

    Args:
        audio: its bytes, or its URL.

    Raises:
        AsrError: it cannot be read or kept, or there is no job store now.
    """
    await request.app[JOBS].ready()
    door = Keep(request, stack)
    if isinstance(audio, str | DataUri):
        await door.located(audio)
    else:
        await door.received(_pieces(audio))
    door.digest.update(json.dumps(asked.model_dump(mode="json"), sort_keys=True).encode())
    return door.audio, door.digest.hexdigest()


async def _pieces(source: Source) -> AsyncIterator[bytes]:
    if isinstance(source, AsyncIterator):
        async for data in source:
            yield data
        return
    while data := await run_in_thread(source.read, READ_BYTES):
        yield data


def client_of(request: web.Request) -> str:
    """The name of the request's API key; "" where there are none."""
    client: str = request.get(CLIENT, "")
    return client


def timestamps_of(job: Job) -> Timestamps:
    """What chunks a job's output has."""
    options: Any = job.request["options"]
    timestamps: Timestamps = options.get("timestamps", "segment")
    return timestamps


def reason_of(job: Job) -> str:
    """Why a job that has ended has no output."""
    if job.state is JobState.CANCELLED:
        return CANCELLED
    return str((job.error or {}).get("message", f"the job is {job.state}"))


class TaskFailed(AsrError):
    """A job that somebody waits for has ended without a transcript."""

    def __init__(self, job: Job) -> None:
        super().__init__(reason_of(job))
        error = job.error or {}
        is_cancelled = job.state is JobState.CANCELLED
        self.status = CANCELLED_STATUS if is_cancelled else int(str(error.get("status", 500)))
        self.code = str(error.get("code", job.state))
