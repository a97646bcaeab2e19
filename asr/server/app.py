"""The app: where its parts meet, the dialects that it speaks, and the table of its routes."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from aiohttp import web

from asr.api.native import dialect as native
from asr.api.openai import dialect as openai
from asr.audio.decoder import Decoder
from asr.capabilities import EngineInfo
from asr.config import Config
from asr.engines import engine, load
from asr.http import app_keys
from asr.http.dialect import Dialect, Route
from asr.metrics import Metrics
from asr.outbound.fetch import FetchLimits, Outbound
from asr.server.docs import add_docs
from asr.server.middleware import answer_everything, name_request, want_key
from asr.transcription.policy import RequestPolicy, forced_language
from asr.transcription.scheduler import Scheduler
from asr.transcription.transcriber import Transcriber
from asr.vad import select

log = logging.getLogger(__name__)

DIALECTS = (native.DIALECT, openai.DIALECT)

LoadEngine = Callable[[Config], engine.Engine]


def create_app(
    config: Config,
    load_engine: LoadEngine = load.load,
    dialects: Sequence[Dialect] = DIALECTS,
) -> web.Application:
    """The service as an aiohttp application; the model is loaded when it starts.

    Args:
        dialects: what the server speaks; one of them has the empty prefix.
    """
    app = web.Application(
        middlewares=[answer_everything, want_key], client_max_size=config.max_body_bytes
    )
    app[app_keys.CONFIG] = config
    app[app_keys.DIALECTS] = dialects
    app[app_keys.METRICS] = Metrics()
    app[app_keys.STARTED] = int(time.time())
    app.cleanup_ctx.append(_outbound)
    app.cleanup_ctx.append(_engine(load_engine))
    app.on_response_prepare.append(name_request)
    for dialect in dialects:
        for route in dialect.routes:
            for path in dialect.paths(route):
                _add_route(app, route, path)
    add_docs(app, dialects)
    return app


def _add_route(app: web.Application, route: Route, path: str) -> None:
    if route.method == "GET":  # and HEAD, which `add_route` would leave out
        app.router.add_get(path, route.handler)
    else:
        app.router.add_route(route.method, path, route.handler)


async def _outbound(app: web.Application) -> AsyncIterator[None]:
    config = app[app_keys.CONFIG]
    limits = FetchLimits(config.max_body_bytes, config.fetch_timeout_s, config.allow_private_urls)
    app[app_keys.OUTBOUND] = Outbound(limits)
    await app[app_keys.OUTBOUND].open()
    yield
    await app[app_keys.OUTBOUND].close()


def _engine(load_engine: LoadEngine) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(app: web.Application) -> AsyncIterator[None]:
        asked, metrics = app[app_keys.CONFIG], app[app_keys.METRICS]
        loaded = await _in_background(load_engine, asked)
        config = _fitted(asked, loaded.info)
        rules = RequestPolicy(
            forced_language(config.language_force, loaded.info),
            config.timestamps,
            config.thresholds,
        )
        decoder = Decoder(config.max_audio_seconds, config.decoders)
        scheduler = Scheduler(loaded, config.max_queue_seconds, metrics)
        app[app_keys.ENGINE] = loaded
        app[app_keys.SCHEDULER] = scheduler
        app[app_keys.TRANSCRIBER] = Transcriber(
            decoder,
            scheduler,
            loaded.info,
            config.chunk_length_s,
            config.stride_length_s,
            metrics,
            rules,
            await asyncio.to_thread(select.choose, config.vad, loaded.info.is_on_gpu),
        )
        scheduler.start()
        log.info("ready: %s on %s", loaded.info.model_id, loaded.info.hardware)
        yield
        await scheduler.stop()
        app[app_keys.TRANSCRIBER].close()
        decoder.close()

    return context


def _fitted(config: Config, info: EngineInfo) -> Config:
    """The settings with windows that the model can hear.

    Raises:
        ConfigError: their overlap leaves nothing of them.
    """
    longest = info.longest_window
    if config.chunk_length_s <= longest:
        return config
    if config.chunk_length_s != Config.chunk_length_s:  # asked, not the default
        log.warning(
            "CHUNK_LENGTH_S=%g is more than %s hears at once: windows have %g s",
            config.chunk_length_s,
            info.model_id,
            longest,
        )
    config = replace(config, chunk_length_s=longest)
    config.check()
    return config


async def _in_background(load_engine: LoadEngine, config: Config) -> engine.Engine:
    """Load in a thread that the process does not wait for: SIGTERM is heeded meanwhile."""
    loaded: Future[engine.Engine] = Future()
    loaded.set_running_or_notify_cancel()

    def load() -> None:
        try:
            loaded.set_result(load_engine(config))
        except BaseException as error:  # it is raised where the engine is awaited
            loaded.set_exception(error)

    threading.Thread(target=load, name="load", daemon=True).start()
    return await asyncio.wrap_future(loaded)
