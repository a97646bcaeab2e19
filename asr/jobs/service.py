"""What handlers and the command line do with jobs: submit, follow, cancel, fetch results."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
)
from dataclasses import dataclass

from asr.errors import AsrError, BadRequest, IdConflict, NotCompleted, NotFound, ShuttingDown
from asr.jobs.job import MOST_DELIVERIES, Job, JobEvent, JobKind, JobState, delivery_ids, store_id
from asr.jobs.requests import unpacked
from asr.jobs.store import JobStore, Page
from asr.jobs.submission import Submission, deliveries_of, delivery, is_sought_id
from asr.jobs.uploads import Uploads
from asr.jobs.webhooks.message import check_webhook
from asr.text import quoted
from asr.transcript import Transcript

POLL_SECONDS = 0.5  # Who waits for news of a job asks for them so often.
POLLS_A_SECOND = 100  # All who wait ask together at most so often, each more rarely then.
RESULT, RESULT_FILE = "transcript", "file"  # keys of a result: it is there, or in a file


@dataclass(frozen=True)
class JobPlace:
    """Where jobs are kept: their store, and their files."""

    store: JobStore
    uploads: Uploads


class Looks:
    """Spreads the looks of all who wait, so that no turn of the event loop has many of them."""

    def __init__(self) -> None:
        self._last = 0.0  # when the last of the looks that are planned is, in seconds

    def wait(self, now: float, waiting: int) -> float:
        """The seconds until the next look of one of so many who wait."""
        latest = now + POLL_SECONDS + waiting / POLLS_A_SECOND  # whoever has left
        self._last = min(latest, max(now + POLL_SECONDS, self._last + 1 / POLLS_A_SECOND))
        return self._last - now


class JobService:
    """Keeps jobs for clients; every client sees its own alone.

    Its methods raise NotFound for a job that is unknown or another client's, BadRequest for an
    id that is no text, and StoreUnavailable within seconds while the store does not answer.

    Args:
        place: opens the place of jobs, the first time.
        wake: tells the worker that there is news of a job.
        allow_private: webhooks may be sent to private addresses.
        count_ended: counts a job that a client ends.
    """

    def __init__(
        self,
        place: Callable[[], Awaitable[JobPlace]],
        wake: Callable[[], None] = lambda: None,
        count_ended: Callable[[JobState], None] = lambda _: None,
        allow_private: bool = False,
    ) -> None:
        self._place = place
        self._wake = wake
        self._allow_private = allow_private
        self._count_ended = count_ended
        self._is_ending = asyncio.Event()
        self._followers = 0  # those who wait for news of a job
        self._looks = Looks()

    def end(self) -> None:
        """Let those leave who follow jobs, because the server ends."""
        self._is_ending.set()

    async def ready(self) -> None:
        """Make sure that the store answers, before anything is kept.

        Raises:
            StoreUnavailable: it does not.
        """
        await (await self._place()).store.get("")

    async def keep(self, audio: AsyncIterator[bytes]) -> str:
        """Keep the audio of a job that is about to be submitted; return the upload's name.

        Raises:
            StorageFull, StorageFailed, OutOfResources: it cannot be written.
            AsrError: whatever reading `audio` raises; nothing is left of it.
        """
        return await (await self._place()).uploads.write(audio)

    async def drop(self, audio: object) -> None:
        """Remove what was kept of a job's audio, of one that was not submitted after all."""
        if isinstance(audio, Mapping) and isinstance(name := audio.get("upload"), str):
            await (await self._place()).uploads.remove(name)

    async def submit(self, submission: Submission) -> Job:
        """Keep a new job; one that was submitted before, under the same id, is returned.

        Raises:
            Invalid: the id cannot be used.
            IdConflict: the id is that of another request.
            BadUrl, Forbidden, BadRequest: the webhook could never be sent or signed.
        """
        if submission.webhook is not None:
            check_webhook(submission.webhook, self._allow_private)
        job = submission.job()
        store = (await self._place()).store
        found = await store.add(job)
        if found.request["audio"] != job.request["audio"]:  # it was there before
            with contextlib.suppress(AsrError):  # then it is removed by the next sweep
                await self.drop(submission.audio)
        if found.request["fingerprint"] != submission.fingerprint:
            raise IdConflict(
                f"the job {quoted(job.public_id)} was submitted with other audio or options: "
                "choose another id, or repeat that request",
                "id",
            )
        self._wake()
        return found

    async def get(self, job_id: str, client: str, with_result: bool = False) -> Job:
        """A transcription of this client."""
        job = None
        if is_sought_id(job_id):  # so no store sees what it could not even look for
            store = (await self._place()).store
            job = await store.get(store_id(client, job_id), with_result)
        if job is None or job.kind is not JobKind.TRANSCRIPTION or job.client != client:
            raise NotFound(f"there is no job {quoted(job_id)}: it was never there, or is forgotten")
        return job

    async def page(
        self, client: str, states: Collection[JobState], after: str | None, limit: int
    ) -> Page:
        """Transcriptions of this client, newest first; `after` is the public id of one of them."""
        store = (await self._place()).store
        last = None if after is None else (await self.get(after, client)).id
        found = await store.page(JobKind.TRANSCRIPTION, client, states, last, limit)
        return Page(found.jobs, found.jobs[-1].public_id if found.after else None)

    async def transcript(self, job: Job) -> Transcript:
        """The transcript of a job that was got with its result.

        Raises:
            NotCompleted: it has none.
            NotFound, StorageFailed: its file cannot be read.
        """
        if job.state is not JobState.COMPLETED or job.result is None:
            raise NotCompleted(
                f"the job {quoted(job.public_id)} is {job.state}: there is a result once it is "
                "completed"
            )
        if (name := job.result.get(RESULT_FILE)) is not None:
            data = await (await self._place()).uploads.get(str(name))
        else:
            data = base64.b64decode(str(job.result[RESULT]))
        return await asyncio.to_thread(unpacked, data)

    async def text(self, job: Job) -> str:
        """The text of a job so far; the whole text of a completed one."""
        events = await (await self._place()).store.events(job.id, 0, 0)
        return "".join(str(event.data.get("text", "")) for event in events)

    async def events(
        self, job_id: str, client: str, after: tuple[int, int] | None = None
    ) -> AsyncGenerator[JobEvent]:
        """The events of a job after one of them, until it has ended.

        Args:
            after: attempt and number of the last event that is known.
        """
        attempt, number = after or (0, 0)
        with self._following():
            while True:
                job = await self.get(job_id, client)
                for event in await (await self._place()).store.events(job.id, attempt, number):
                    attempt, number = event.attempt, event.number
                    yield event
                if job.state.has_ended:
                    return
                await self._pause()

    async def wait(self, job_id: str, client: str) -> Job:
        """The job, once it has ended."""
        with self._following():
            while not (job := await self.get(job_id, client)).state.has_ended:
                await self._pause()
        return job

    @contextlib.contextmanager
    def _following(self) -> Iterator[None]:
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1

    async def _pause(self) -> None:
        seconds = self._looks.wait(time.monotonic(), self._followers)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_ending.wait()
        if self._is_ending.is_set():
            raise ShuttingDown("the server is shutting down: follow the job on another server")

    async def cancel(self, job_id: str, client: str) -> Job:
        """End a job, unless it has ended; return it as it was before."""
        known = await self.get(job_id, client)
        place = await self._place()
        job = await place.store.cancel(known.id, deliveries_of(known, JobState.CANCELLED))
        self._wake()
        if job is None:
            raise NotFound(f"there is no job {quoted(job_id)}: it is forgotten")
        if not job.state.has_ended:
            self._count_ended(JobState.CANCELLED)
            with contextlib.suppress(AsrError):  # then it is removed by the next sweep
                await self.drop(job.request["audio"])
        return job

    async def deliveries(self, job_id: str, client: str) -> list[Job]:
        """The deliveries of a job's webhook, oldest first, with what came of their attempts."""
        job = await self.get(job_id, client)
        store = (await self._place()).store
        found: list[Job] = []
        for sought in delivery_ids([job]):
            if (next_one := await store.get(sought, with_result=True)) is None:
                break
            found.append(next_one)
        return found

    async def redeliver(self, job_id: str, client: str) -> Job:
        """Tell the webhook of a job's end once more; return the new delivery.

        Raises:
            BadRequest: the job has no webhook, or it was told too often.
            NotCompleted: it has not ended.
        """
        job = await self.get(job_id, client)
        if job.request.get("webhook") is None:
            raise BadRequest(f"the job {quoted(job.public_id)} was submitted without a webhook")
        if not job.state.has_ended:
            raise NotCompleted(
                f"the job {quoted(job.public_id)} is {job.state}: there is nothing to tell"
            )
        number = len(await self.deliveries(job_id, client)) + 1
        if number > MOST_DELIVERIES:
            raise BadRequest(
                f"the webhook of the job {quoted(job.public_id)} was told {MOST_DELIVERIES} times, "
                "each with all its attempts: GET the job's result instead"
            )
        added = await (await self._place()).store.add(delivery(job, job.state, number))
        self._wake()
        return added
