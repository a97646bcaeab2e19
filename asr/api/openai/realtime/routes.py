"""Handlers of OpenAI's Realtime API: the WebSocket, and secrets that open it.

https://platform.openai.com/docs/guides/realtime-transcription.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from aiohttp import web

from asr.api.openai.realtime import configuration, older_dialect
from asr.api.openai.realtime.configuration import Configuration
from asr.api.openai.realtime.connection import Means, RealtimeConnection
from asr.api.openai.realtime.handshake import check_handshake, protocols
from asr.api.openai.realtime.memory import SESSION_BYTES, SessionMemory
from asr.api.openai.realtime.socket import RealtimeSocket
from asr.http.app_keys import CLIENT_SECRET, CONFIG, ENGINE, LIVE, MEMORY, METRICS, TRANSCRIBER
from asr.http.responses import caller
from asr.live.session import LiveSession

log = logging.getLogger(__name__)


async def connect(request: web.Request) -> web.StreamResponse:
    """`GET /v1/realtime`: text while somebody speaks."""
    check_handshake(request)
    app = request.app
    means = Means(app[ENGINE].info, app[TRANSCRIBER].server_info, app[METRICS], app[MEMORY])
    secret = request.get(CLIENT_SECRET)
    asked: Mapping[str, object] = {} if secret is None else secret.session
    configured = configuration.initial(asked, means.info, means.server)
    with means.memory.reserve(SESSION_BYTES, is_lasting=True) as reservation:
        async with app[LIVE].open(configured.live) as session:
            socket = RealtimeSocket(SessionMemory(reservation, session))
            await socket.prepare(request)
            await _carry(request, socket, session, configured, means)
    return socket


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


def _is_older(request: web.Request) -> bool:
    """Whether the client speaks the beta's dialect, as far as its request says."""
    is_named = request.headers.get(older_dialect.HEADER, "").strip() == "realtime=v1"
    return is_named or older_dialect.PROTOCOL in protocols(request)
