"""One attempt at a job: its audio is found and transcribed, and what came of it is told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO

from asr.audio.streams import Source
from asr.errors import (
    AsrError,
    EngineDead,
    Failure,
    NotFound,
    OutOfResources,
    QueueFull,
    ShuttingDown,
    StorageFailed,
    StorageFull,
    StoreUnavailable,
    UploadMissing,
)
from asr.formats.events import segment_event
from asr.jobs.job import Job, JobState, Json, Outcome
from asr.jobs.progress import Progress
from asr.jobs.requests import options_from_json, packed
from asr.jobs.service import RESULT, RESULT_FILE, JobPlace
from asr.jobs.submission import deliveries_of
from asr.transcript import Segment, Transcript
from asr.transcription.scheduled_request import Timings
from asr.transcription.speakers import with_speakers
from asr.transcription.transcriber import Transcriber

log = logging.getLogger(__name__)

IN_STORE_BYTES = 8 * 10**6  # A result of more JSON is a file beside the uploads.
AGAIN_SECONDS = 5.0  # What failed for the moment is tried again after so many seconds,
LONGEST_AGAIN_SECONDS = 900.0  # each time after twice as many, up to these.
MOST_ATTEMPTS = 20  # A job that was begun so often fails: the next attempt would, too.
PASSING = (
    QueueFull,
    EngineDead,
    ShuttingDown,
    StoreUnavailable,
    StorageFailed,
    StorageFull,
    OutOfResources,
)


@dataclass(frozen=True)
class JobMeans:
    """What an attempt needs beside the place of jobs."""

    transcriber: Transcriber
    fetch: Callable[[str], AsyncGenerator[bytes]]  # the bytes at a URL
    open_file: Callable[[str], BinaryIO]  # a file inside AUDIO_ROOT


class JobAttempt:
    """An attempt at a job, from its audio to its outcome."""

    def __init__(self, job: Job, place: JobPlace, means: JobMeans) -> None:
        self.job = job
        self._place = place
        self._means = means
        self._timings = Timings()
        self.progress = Progress(place.store, job, self._timings)

    @property
    def has_begun(self) -> bool:
        """Whether a window of its audio is on its way."""
        return self._timings.windows > 0

    async def outcome(self) -> Outcome:
        """Transcribe; whatever fails is an outcome, too."""
        try:
            if self.job.attempt > MOST_ATTEMPTS:
                return self._ended(JobState.FAILED, error=_given_up(self.job))
            transcript = await self._transcript()
            self.progress.complete()
            return self._ended(JobState.COMPLETED, await self._result(transcript))
        except PASSING as error:
            log.warning("job %s is put back: %s", self.job.id, error)
            return Outcome(JobState.QUEUED, due_at=_due_again(error, self.job.attempt))
        except Exception as error:  # the boundary: every job has an outcome
            return self._ended(JobState.FAILED, error=self._described(error))

    async def discard(self, outcome: Outcome) -> None:
        """Remove the file of a result that does not count."""
        if outcome.result is not None and RESULT_FILE in outcome.result:
            await self._place.uploads.remove(str(outcome.result[RESULT_FILE]))

    async def _transcript(self) -> Transcript:
        options = replace(options_from_json(self.job.request["options"]), is_job=True)
        has_words = options.timestamps == "word"
        segments: list[Segment] = []
        async with contextlib.AsyncExitStack() as stack:
            source = await self._source(stack)
            parts = self._means.transcriber.parts(source, options, self._timings)
            async with contextlib.aclosing(parts):
                async for part in parts:
                    for segment in part.segments:
                        event = segment_event(f"seg_{len(segments)}", segment, has_words)
                        self.progress.add(event)
                        segments.append(segment)
        transcript = replace(part, segments=tuple(segments))
        if options.speakers is None:
            return transcript
        return await asyncio.to_thread(with_speakers, transcript)

    async def _source(self, stack: contextlib.AsyncExitStack) -> Source:
        audio = self.job.request["audio"]
        assert isinstance(audio, Mapping)
        if "url" in audio:
            fetched = self._means.fetch(audio["url"])
            stack.push_async_callback(fetched.aclose)
            return fetched
        if "upload" in audio:
            return await self._upload(audio["upload"], stack)
        return stack.enter_context(self._means.open_file(audio["path"]))

    async def _upload(self, name: str, stack: contextlib.AsyncExitStack) -> Source:
        try:
            return await self._place.uploads.open(name, stack)
        except NotFound as error:
            raise UploadMissing(
                "the job's audio is not where this server looks for it: submit the job again; "
                "servers that share their jobs (JOBS_URL) need one UPLOADS_URL"
            ) from error

    async def _result(self, transcript: Transcript) -> Json:
        data, size = await asyncio.to_thread(packed, transcript)
        if size <= IN_STORE_BYTES:
            return {RESULT: base64.b64encode(data).decode()}
        name = result_file(self.job)
        await self._place.uploads.put(name, data)
        return {RESULT_FILE: name}

    def _ended(
        self, state: JobState, result: Json | None = None, error: Json | None = None
    ) -> Outcome:
        return Outcome(state, result, error, followers=deliveries_of(self.job, state))

    def _described(self, error: Exception) -> Json:
        failure = Failure.of(error)
        message = failure.message
        if not isinstance(error, AsrError):
            log.exception("job %s failed", self.job.id, exc_info=error)
            message = "the server failed: its log has the details under the job's id"
        return {"message": message, "code": failure.code, "status": failure.status}


def result_file(job: Job) -> str:
    """The name of the file of a very long result; an upload's name has no dash."""
    return f"{hashlib.sha256(job.id.encode()).hexdigest()[:32]}-{job.attempt}"


def _due_again(error: AsrError, attempt: int) -> float:
    """When a job is to be taken again; at once where this server alone is at fault."""
    if isinstance(error, EngineDead | ShuttingDown):
        return 0.0
    wait = AGAIN_SECONDS if error.retry_after is None else error.retry_after
    return time.time() + min(wait * 2.0 ** (attempt - 1), LONGEST_AGAIN_SECONDS)


def _given_up(job: Job) -> Json:
    message = (
        f"the job was begun {job.attempt - 1} times and never ended, because the server ended in "
        "mid-job or had no room (its log says which): send other audio, or give it more memory"
    )
    return {"message": message, "code": AsrError.code, "status": AsrError.status}
