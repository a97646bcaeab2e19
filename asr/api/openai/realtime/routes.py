"""Handlers of OpenAI's Realtime API: the WebSocket, and secrets that open it.

https://platform.openai.com/docs/guides/realtime-transcription.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping

from aiohttp import hdrs, web

from asr.api.openai.realtime import configuration, older_dialect
from asr.api.openai.realtime.configuration import Configuration
from asr.api.openai.realtime.connection import Means, RealtimeConnection
from asr.api.openai.realtime.socket import PROTOCOL, RealtimeSocket
from asr.errors import BadRequest, UpgradeRequired
from asr.http.app_keys import CLIENT_SECRET, CONFIG, ENGINE, LIVE, MEMORY, METRICS, TRANSCRIBER
from asr.http.responses import caller
from asr.live.session import LiveSession
from asr.text import quoted

log = logging.getLogger(__name__)

INTENT = "transcription"


async def connect(request: web.Request) -> web.StreamResponse:
    """`GET /v1/realtime`: text while somebody speaks."""
    _check(request)
    app = request.app
    means = Means(app[ENGINE].info, app[TRANSCRIBER].server_info, app[METRICS], app[MEMORY])
    secret = request.get(CLIENT_SECRET)
    asked: Mapping[str, object] = {} if secret is None else secret.session
    configured = configuration.initial(asked, means.info, means.server)
    socket = RealtimeSocket()
    async with app[LIVE].open(configured.live) as session:
        await socket.prepare(request)
        await _carry(request, socket, session, configured, means)
    return socket


def _check(request: web.Request) -> None:
    """Refuse what opens no WebSocket that its client could use."""
    upgrade = request.headers.get(hdrs.UPGRADE, "").strip().lower()
    if request.method != "GET" or upgrade != "websocket":
        raise UpgradeRequired(
            f"{request.path} is a WebSocket: connect to it with ws:// or wss://, as OpenAI's "
            "clients do; recordings go to /v1/audio/transcriptions"
        )
    intent = request.query.get("intent", INTENT)
    if intent != INTENT:
        raise BadRequest(
            f"intent: {quoted(intent[:50])} is not possible, because this server only "
            f"transcribes: connect with intent={INTENT}",
            "intent",
        )
    offered = list(_protocols(request))
    if offered and PROTOCOL not in offered:
        raise BadRequest(
            f"the subprotocol must be '{PROTOCOL}': offer it, or none at all",
            hdrs.SEC_WEBSOCKET_PROTOCOL,
        )


async def _carry(
    request: web.Request,
    socket: RealtimeSocket,
    session: LiveSession,
    configured: Configuration,
    means: Means,
) -> None:
    started, lasts = time.monotonic(), request.app[CONFIG].max_live_session_s
    connection = RealtimeConnection(socket, session, configured, means, _is_older(request), lasts)
    try:
        await connection.run()
    finally:
        log.info(
            "%s %s: live session %s: %.1f s of audio, %d utterances, total %.2f s, %s",
            caller(request),
            request.path,
            connection.id,
            session.seconds,
            connection.utterances,
            time.monotonic() - started,
            connection.ending.reason,
        )


def _protocols(request: web.Request) -> Iterator[str]:
    for header in request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()):
        yield from (name.strip() for name in header.split(","))


def _is_older(request: web.Request) -> bool:
    """Whether the client speaks the beta's dialect, as far as its request says."""
    is_named = request.headers.get(older_dialect.HEADER, "").strip() == "realtime=v1"
    return is_named or older_dialect.PROTOCOL in _protocols(request)
