"""Submits requests as jobs of the service's own dialect: `POST /jobs` and `/asr?async=true`."""

from __future__ import annotations

import contextlib
import hashlib

from aiohttp import web
from pydantic import Field

from asr.api.asr_answer import (
    DIARIZED_FORMATS,
    ResponseFormat,
    options_of,
    overruled_languages,
    unused_speakers,
)
from asr.api.asr_schemas import AsrParameters
from asr.api.job_answer import job_answer
from asr.audio.streams import Source
from asr.errors import BadRequest
from asr.http.app_keys import CLIENT, ENGINE, JOBS, TRANSCRIBER
from asr.http.bodies.json_object import DataUri
from asr.http.job_audio import kept, kept_after_all
from asr.http.parameters import AudioFile, Location
from asr.http.responses import server_headers, warning_header
from asr.jobs.job import Json
from asr.jobs.submission import Submission, Webhook

DIALECT = "native"  # The name of the dialect in which these jobs tell their webhooks.
KEY = "Idempotency-Key"
MOST_KEY_CHARS = 255  # A longer Idempotency-Key is refused.
LONGEST_SECONDS = 30 * 86_400.0  # A deadline is at most so many seconds away: 30 days.
MOST_PRIORITY = 100  # Priorities are whole numbers up to this, above and below 0.


class JobParameters(AsrParameters):
    """How a job is to be transcribed, and what is to be done about it; every key is optional."""

    webhook: str | None = Field(
        None, min_length=1, description="This URL gets a POST when the job has ended"
    )
    webhook_secret: str | None = Field(
        None,
        description=(
            "The webhook is signed with this secret, as Standard Webhooks says; unset: with the "
            "server's"
        ),
    )
    id: str | None = Field(
        None,
        description=(
            "The job's id, chosen by you: the same request under the same id is the same job. "
            f"Unset: of the header `{KEY}`, or a new one"
        ),
    )
    priority: int = Field(
        0,
        ge=-MOST_PRIORITY,
        le=MOST_PRIORITY,
        description="Jobs with a higher number are begun first",
    )
    deadline_s: float | None = Field(
        None,
        gt=0,
        le=LONGEST_SECONDS,
        allow_inf_nan=False,
        description="A job that has not ended after this many seconds expires",
    )
    response_format: ResponseFormat = Field(
        "json",
        description=(
            "Format of the result where its request names none; `diarized_json` and `rttm` imply "
            "`diarize`"
        ),
    )


class JobRequest(JobParameters, Location):
    """A JSON object with the URL or path of the audio."""


class JobForm(JobParameters, AudioFile):
    """A multipart form with the audio file."""


async def post(request: web.Request) -> web.Response:
    """`POST /jobs`: keep the audio, and answer before it is transcribed."""
    async with contextlib.AsyncExitStack() as stack:
        audio, parameters, fingerprint = await kept(request, stack, JobParameters)
        return await _submitted(request, audio, parameters, fingerprint)


async def submit(
    request: web.Request,
    stack: contextlib.AsyncExitStack,
    audio: Source | str | DataUri,
    asked: AsrParameters,
) -> web.Response:
    """Make a job of a request that might have been answered at once."""
    sent = asked.model_dump(exclude_unset=True, exclude={"is_async"})
    parameters = JobParameters.model_validate(sent)
    place, fingerprint = await kept_after_all(request, stack, audio, parameters)
    return await _submitted(request, place, parameters, fingerprint)


async def _submitted(
    request: web.Request, audio: Json, parameters: JobParameters, fingerprint: str
) -> web.Response:
    jobs, transcriber, client = request.app[JOBS], request.app[TRANSCRIBER], request[CLIENT]
    if parameters.stream:
        raise BadRequest("a job has no stream: leave 'stream' out, and GET its events", "stream")
    for name in parameters.sent_known:
        raise BadRequest(
            f"a job cannot know voices: leave {name!r} out, or do not send the request as a job",
            name,
        )
    if parameters.response_format in DIARIZED_FORMATS:
        parameters = parameters.model_copy(update={"diarize": True})
    warnings = [*overruled_languages(request, parameters), *unused_speakers(parameters)]
    options = options_of(parameters, request.app[ENGINE].info, transcriber.server_info)
    transcriber.check(options)
    job = await jobs.submit(
        Submission(
            audio=audio,
            options=options,
            client=client,
            dialect=DIALECT,
            id=parameters.id or _id_of_key(request),
            fingerprint=fingerprint,
            webhook=_webhook(parameters),
            priority=parameters.priority,
            deadline_s=parameters.deadline_s,
            extra={"response_format": parameters.response_format},
        )
    )
    found = await job_answer(request, job, with_text=False)
    return web.json_response(
        text=found.model_dump_json(),
        status=200 if job.state.has_ended else 202,
        headers={"Location": f"/jobs/{job.public_id}", **server_headers(request)}
        | warning_header(warnings),
    )


def _webhook(parameters: JobParameters) -> Webhook | None:
    if parameters.webhook is not None:
        return Webhook(parameters.webhook, parameters.webhook_secret)
    if parameters.webhook_secret is not None:
        raise BadRequest("there is no webhook to sign: send its URL as 'webhook'", "webhook_secret")
    return None


def _id_of_key(request: web.Request) -> str | None:
    """The id that belongs to the request's Idempotency-Key, if it has one."""
    key = request.headers.get(KEY)
    if key is None:
        return None
    if not 0 < len(key) <= MOST_KEY_CHARS:
        raise BadRequest(f"the header {KEY} may have 1 to {MOST_KEY_CHARS} characters")
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]
