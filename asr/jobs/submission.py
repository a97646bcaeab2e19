"""What a caller submits, as the job that it becomes, and the deliveries that follow a job."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from asr.errors import BadRequest, Invalid
from asr.jobs.job import Job, JobKind, JobState, Json, delivery_id, store_id
from asr.jobs.requests import options_to_json
from asr.options import Options

ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@=+-]{0,127}")  # A caller's own id looks like this.
ID_RULE = (
    "a job's id may have up to 128 letters of ASCII, digits and the characters _ . : @ = + -, "
    "and begins with a letter, a digit or _"
)
NO_TEXT = re.compile("[%\ufffd]")  # Bytes of a path and of a query that are no UTF-8 become these.
MOST_SECONDS = 1e7  # A file's own header may declare any length; more than this is not believed.


@dataclass(frozen=True)
class Webhook:
    """Where a caller wants to be told of a job's end."""

    url: str
    secret: str | None = field(default=None, repr=False)  # None: the server's
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Submission:
    """A transcription that a caller asks for, to be done later."""

    audio: Json  # {"url": …} | {"upload": name, "seconds": …} | {"path": …}
    options: Options
    client: str = ""  # name of the API key
    dialect: str = "native"  # whose shape the webhook's body has
    id: str | None = None  # the caller's own; None: a new one
    fingerprint: str = ""  # of what is asked: another one under the same id is refused
    webhook: Webhook | None = None
    priority: int = 0  # a job with a higher one is taken first
    deadline_s: float | None = None  # seconds from now; a job that has not ended by then expires
    audio_seconds: float = 0.0  # if known
    extra: Json = field(default_factory=dict)  # what the dialect needs to write its answers

    def job(self) -> Job:
        """The job that it becomes.

        Raises:
            Invalid: its id cannot be used.
        """
        now = time.time()
        public_id = uuid.uuid4().hex if self.id is None else checked_id(self.id)
        return Job(
            id=store_id(self.client, public_id),
            kind=JobKind.TRANSCRIPTION,
            request={
                "audio": dict(self.audio),
                "options": options_to_json(self.options),
                "dialect": self.dialect,
                "fingerprint": self.fingerprint,
                "webhook": None if self.webhook is None else asdict(self.webhook),
                "extra": dict(self.extra),
            },
            client=self.client,
            priority=self.priority,
            created_at=now,
            due_at=now,
            deadline_at=None if self.deadline_s is None else now + self.deadline_s,
            audio_seconds=self.audio_seconds or _seconds(self.audio),
        )


def _seconds(audio: Json) -> float:
    found = audio.get("seconds")
    return min(found, MOST_SECONDS) if isinstance(found, float) and found > 0 else 0.0


def checked_id(job_id: str) -> str:
    """A caller's own id for a job.

    Raises:
        Invalid: it has other characters than a path may have, or too many.
    """
    if not ID.fullmatch(job_id):
        raise Invalid(ID_RULE, "id")
    return job_id


def is_sought_id(job_id: str) -> bool:
    """Whether there may be a job of this id.

    Raises:
        BadRequest: the bytes of a path are no text, or have what nobody can read.
    """
    if not job_id.isprintable() or NO_TEXT.search(job_id):
        raise BadRequest(ID_RULE, "id")
    return ID.fullmatch(job_id) is not None


def deliveries_of(job: Job, state: JobState) -> Sequence[Job]:
    """The jobs that are added when `job` ends in `state`: one that tells its webhook."""
    if job.kind is not JobKind.TRANSCRIPTION or job.request.get("webhook") is None:
        return ()
    return (delivery(job, state, 1),)


def delivery(job: Job, state: JobState, number: int) -> Job:
    """The `number`th delivery of the webhook that tells how `job` ended."""
    now = time.time()
    webhook_id = delivery_id(job.id, state, 1)  # the same in every attempt, of no other client
    return Job(
        id=delivery_id(job.id, state, number),
        kind=JobKind.DELIVERY,
        request={"job": job.id, "event": str(state), "webhook_id": webhook_id},
        client=job.client,
        created_at=now,
        due_at=now,
    )
