"""`POST /v1/realtime/client_secrets`: a key for a browser, with the session that it opens."""

from __future__ import annotations

from typing import Literal

from aiohttp import web
from pydantic import BaseModel, Field

from asr.api.openai.realtime import configuration, older_dialect, server_events
from asr.api.openai.realtime.schemas import TranscriptionSession
from asr.http.app_keys import CLIENT, ENGINE, SECRETS, TRANSCRIBER
from asr.http.requests import read_object

EXAMPLE = '{"session": {"type": "transcription"}}'


class ExpiresAfter(BaseModel):
    anchor: Literal["created_at"] = "created_at"
    seconds: int = Field(600, ge=10, le=7200, description="The secret opens sessions for so long")


class SecretLifetime(BaseModel):
    expires_after: ExpiresAfter = ExpiresAfter()


class SecretRequest(SecretLifetime):
    session: dict[str, object] = {}


class SecretDescription(SecretLifetime):
    """How long the secret opens sessions, and how these are set up."""

    session: TranscriptionSession = TranscriptionSession()


class ShownSession(TranscriptionSession):
    id: str = Field(examples=["sess_1f"])
    object: Literal["realtime.transcription_session"]


class SecretAnswer(BaseModel):
    """The secret, and the whole configuration of the sessions that it opens."""

    value: str = Field(description="Is used in the place of the API key", examples=["ek_1f"])
    expires_at: int = Field(description="Seconds since 1970")
    session: ShownSession


async def create(request: web.Request) -> web.Response:
    """Make a secret; sessions that it has opened go on when it has expired."""
    sent = await read_object(request, EXAMPLE) if request.can_read_body else {}
    asked = SecretRequest.model_validate(sent)
    info, server = request.app[ENGINE].info, request.app[TRANSCRIBER].server_info
    configured = configuration.initial(older_dialect.nested(asked.session), info, server)
    kept = configured.session.model_dump(exclude_defaults=True)
    value, expires_at = request.app[SECRETS].make(
        request[CLIENT], asked.expires_after.seconds, kept
    )
    session = {
        "id": server_events.new_id("sess"),
        "object": "realtime.transcription_session",
        **configured.echo(info.model_id),
    }
    answer = {"value": value, "expires_at": expires_at, "session": session}
    return web.json_response(answer, headers={"Cache-Control": "no-store"})
