"""The app: where its parts meet, the dialects that it speaks, and the table of its routes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

from aiohttp import web

from asr.api.deepgram import dialect as deepgram
from asr.api.insanely_fast import dialect as insanely_fast
from asr.api.jobs import dialect as own_jobs
from asr.api.native import dialect as native
from asr.api.openai import dialect as openai
from asr.api.truss import dialect as truss
from asr.api.web import add_page
from asr.api.whisper_asr import dialect as whisper_asr
from asr.config.config import Config
from asr.diarization import load as diarizer_load
from asr.engines import load
from asr.http import app_keys
from asr.http.admission import check_expectation, close_unread
from asr.http.dialect import Dialect
from asr.http.shared_path import Claimant, handler_of
from asr.http.sources import PARSER_SETTINGS
from asr.jobs.clients import Clients
from asr.live.client_secrets import ClientSecrets
from asr.live.sessions import LiveSessions
from asr.metrics import Metrics
from asr.outbound.fetch import FetchLimits, Outbound
from asr.resources.memory_budget import BodyMemory
from asr.resources.spool import SpoolCheck
from asr.server.docs import add_docs
from asr.server.idle_memory import give_back_when_idle
from asr.server.jobs import jobs
from asr.server.middleware import answer_everything, name_request, want_key
from asr.server.origins import check_caller, name_origin
from asr.transcription.service import LoadDiarizer, LoadEngine, Service, open_service

DIALECTS = (
    native.DIALECT,
    own_jobs.DIALECT,
    openai.DIALECT,
    insanely_fast.DIALECT,
    truss.DIALECT,
    deepgram.DIALECT,
    whisper_asr.DIALECT,
)


def create_app(
    config: Config,
    load_engine: LoadEngine = load.load,
    dialects: Sequence[Dialect] = DIALECTS,
    load_diarizer: LoadDiarizer = diarizer_load.load,
) -> web.Application:
    """The service as an aiohttp application; the model is loaded when it starts.

    Args:
        dialects: what the server speaks; one of them has the empty prefix.
    """
    app = web.Application(
        middlewares=[answer_everything, check_caller, check_expectation, want_key],
        client_max_size=config.max_body_bytes,
        handler_args=PARSER_SETTINGS,
    )
    app[app_keys.CONFIG] = config
    app[app_keys.CLIENTS] = Clients(config.client_keys)
    app[app_keys.DIALECTS] = dialects
    app[app_keys.METRICS] = Metrics()
    app[app_keys.SECRETS] = ClientSecrets(config.client_keys)
    app[app_keys.STARTED] = int(time.time())
    app.cleanup_ctx.append(_outbound)
    app.cleanup_ctx.append(_spool_check)
    app.cleanup_ctx.append(_service(load_engine, load_diarizer))
    app.cleanup_ctx.append(jobs)
    app.cleanup_ctx.append(give_back_when_idle)
    app.on_response_prepare.extend([name_request, name_origin, close_unread])
    _add_routes(app, dialects)
    add_page(app)
    add_docs(app, dialects)
    return app


def _add_routes(app: web.Application, dialects: Sequence[Dialect]) -> None:
    claimants: dict[tuple[str, str], list[Claimant]] = {}
    for dialect in dialects:
        for route in dialect.routes:
            for path in dialect.paths(route):
                if route.method == "GET":  # and HEAD, which `add_route` would leave out
                    app.router.add_get(path, route.handler)
                else:
                    claimants.setdefault((route.method, path), []).append((dialect, route))
    for (method, path), several in claimants.items():
        app.router.add_route(method, path, handler_of(several))


async def _outbound(app: web.Application) -> AsyncIterator[None]:
    config = app[app_keys.CONFIG]
    limits = FetchLimits(config.max_body_bytes, config.fetch_timeout_s, config.allow_private_urls)
    app[app_keys.OUTBOUND] = Outbound(limits)
    await app[app_keys.OUTBOUND].open()
    yield
    await app[app_keys.OUTBOUND].close()


async def _spool_check(app: web.Application) -> AsyncIterator[None]:
    async with contextlib.aclosing(SpoolCheck()) as check:
        app[app_keys.SPOOL_CHECK] = check
        await check.run()
        yield


def _service(
    load_engine: LoadEngine, load_diarizer: LoadDiarizer
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(app: web.Application) -> AsyncIterator[None]:
        config, metrics = app[app_keys.CONFIG], app[app_keys.METRICS]
        async with open_service(config, metrics, load_engine, load_diarizer) as service:
            app[app_keys.ENGINE] = service.engine
            app[app_keys.MEMORY] = BodyMemory(service.budget.bodies)
            app[app_keys.SCHEDULER] = service.scheduler
            app[app_keys.TRANSCRIBER] = service.transcriber
            app[app_keys.LIVE] = await _live(config, metrics, service)
            yield

    return context


async def _live(config: Config, metrics: Metrics, service: Service) -> LiveSessions:
    most = config.max_live_sessions
    if most is None:
        most = service.engine.capacity
    longest = config.max_live_session_s
    live = await asyncio.to_thread(LiveSessions, service.setup, service.scheduler, most, longest)
    metrics.live_sessions.set_function(lambda: live.count)
    return live
