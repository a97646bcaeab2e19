"""What a webhook says: its body in a dialect's shape, its headers and its signature."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook as Signer

import asr
from asr.concurrency import run_in_thread
from asr.config import parsers as config_parsers
from asr.errors import BadRequest, BadUrl, ConfigError, Forbidden
from asr.jobs.job import Job, JobState, Json
from asr.jobs.submission import Webhook
from asr.outbound.webhook import check_target
from asr.transcript import Transcript

Body = Callable[[Job, Transcript | None], Json]  # of an ended job, with the transcript if completed


def check_webhook(webhook: Webhook, allow_private: bool) -> None:
    """Check a webhook when its job is submitted.

    Raises:
        BadUrl, Forbidden, BadRequest: it could never be sent or signed.
    """
    try:
        check_target(webhook.url, webhook.headers, allow_private)
    except (BadUrl, Forbidden) as error:
        raise type(error)(f"webhook: {error.message}", "webhook") from error
    if webhook.secret is None:
        return
    try:
        config_parsers.webhook_secret(webhook.secret)
    except ConfigError as error:
        raise BadRequest(f"the webhook's secret {error}", "webhook_secret") from None


class WebhookBodies:
    """Makes the body of a webhook, in the shape of its job's dialect.

    Nothing is cut off: who waits for a result wants all of it. MAX_AUDIO_SECONDS bounds it.

    Args:
        bodies: by the name of the dialect.
        transcript: of a completed job that was got with its result.
    """

    def __init__(
        self, bodies: Mapping[str, Body], transcript: Callable[[Job], Awaitable[Transcript]]
    ) -> None:
        self._bodies = bodies
        self._transcript = transcript

    async def make(self, job: Job) -> bytes:
        """The bytes that are signed and sent.

        Raises:
            AsrError: the transcript cannot be read.
        """
        is_completed = job.state is JobState.COMPLETED
        transcript = await self._transcript(job) if is_completed else None
        body = self._bodies[str(job.request["dialect"])]
        return await run_in_thread(lambda: written(body(job, transcript)))


def envelope(job: Job, data: Json) -> Json:
    """A body as Standard Webhooks recommends it, with the moment of the job's end."""
    return {"type": f"job.{job.state}", "timestamp": iso(job.ended_at or 0.0), "data": data}


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def written(body: Json) -> bytes:
    """The bytes of a body; these are signed and sent."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")  # half of a surrogate pair is no character


def signed(webhook_id: str, secret: str | None, now: datetime, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks; without a secret there is no signature.

    Args:
        now: with its time zone, because the library takes any time for UTC.
    """
    # An id with full stops could be read as another id with another time.
    headers = {"webhook-id": webhook_id.replace(".", "%2E")}
    headers["webhook-timestamp"] = str(int(now.timestamp()))
    if secret is not None:
        moment = now.astimezone(UTC)
        headers["webhook-signature"] = Signer(secret).sign(
            headers["webhook-id"], moment, body.decode()
        )
    return headers


def usual(asked: Mapping[str, str]) -> dict[str, str]:
    """The caller's headers, and those of every webhook that the caller did not set."""
    names = set(map(str.lower, asked))
    ours = {"Content-Type": "application/json", "User-Agent": f"asr-api/{asr.__version__}"}
    return {**{name: ours[name] for name in ours if name.lower() not in names}, **asked}
