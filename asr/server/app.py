"""The app: where its parts meet, its middleware, and the table of its routes."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from types import MappingProxyType

import pydantic
import swagger_ui
from aiohttp import web

from asr.api import health, language
from asr.api.native import routes as native
from asr.api.openai import routes as openai
from asr.audio.decoder import Decoder
from asr.capabilities import EngineInfo
from asr.config import Config
from asr.engines import engine, load
from asr.errors import AsrError, Failure, Invalid, Unauthorized
from asr.http import app_keys
from asr.metrics import Metrics
from asr.outbound.fetch import FetchLimits, Outbound
from asr.server import docs
from asr.transcription.policy import RequestPolicy, forced_language
from asr.transcription.scheduler import Scheduler
from asr.transcription.transcriber import Transcriber
from asr.vad import select

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LoadEngine = Callable[[Config], engine.Engine]

OPEN_PATHS = re.compile(r"/(hc|health|openapi\.json|docs(/.*)?)$")  # no key wanted
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
MESSAGE_CHARS = 1000
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
CLIENT_LEFT = 499  # nginx's status for a caller who did not wait


def create_app(config: Config, load_engine: LoadEngine = load.load) -> web.Application:
    """The service as an aiohttp application; the model is loaded when it starts."""
    app = web.Application(
        middlewares=[answer_everything, want_key], client_max_size=config.max_body_bytes
    )
    app[app_keys.CONFIG] = config
    app[app_keys.METRICS] = Metrics()
    app[app_keys.STARTED] = int(time.time())
    app.cleanup_ctx.append(_outbound)
    app.cleanup_ctx.append(_engine(load_engine))
    app.on_response_prepare.append(_name_request)
    app.router.add_get("/hc", health.hc)
    app.router.add_get("/health", health.health)
    app.router.add_get("/metrics", health.metrics)
    app.router.add_post("/asr", native.transcribe)
    app.router.add_post("/detect-language", language.detect)
    for version in openai.PATHS:
        app.router.add_post(version + "audio/transcriptions", openai.transcriptions)
        app.router.add_post(version + "audio/translations", openai.translations)
        app.router.add_post(version + "audio/language", language.detect)
        app.router.add_post(version + "audio/detect-language", language.detect)
        app.router.add_get(version + "models", openai.models)
        app.router.add_get(version + "models/{id:.+}", openai.model)
    _add_docs(app)
    return app


def _add_docs(app: web.Application) -> None:
    document = docs.document()

    async def openapi_json(_: web.Request) -> web.Response:
        return web.json_response(document)

    app.router.add_get("/openapi.json", openapi_json)
    swagger_ui.api_doc(
        app,
        config=document,
        url_prefix="/docs",
        title=document["info"]["title"],
        host_inject=False,
        parameters={"validatorUrl": "null"},
    )


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


async def _name_request(request: web.Request, response: web.StreamResponse) -> None:
    if app_keys.REQUEST_ID in request:
        response.headers["X-Request-ID"] = request[app_keys.REQUEST_ID]
    if request.content.exception() is not None:  # nothing after it can be understood
        response.force_close()
        response.headers["Connection"] = "close"


@web.middleware
async def answer_everything(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id, turn failures into JSON, and count the answer."""
    asked = request.headers.get("X-Request-ID", "")
    request[app_keys.REQUEST_ID] = asked if REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
    status, route = CLIENT_LEFT, await _route(request)
    try:
        response = await _answered(request, handler)
        status = response.status
        return response
    finally:
        request.app[app_keys.METRICS].requests.labels(route, str(status)).inc()


async def _route(request: web.Request) -> str:
    """The route as metrics name it, also where it does not take the request's method."""
    resources: Iterable[web.AbstractResource | None] = [request.match_info.route.resource]
    if isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
        resources = request.app.router.resources()
    for resource in resources:
        if resource is not None and any(await resource.resolve(request)):
            return resource.canonical
    return "unknown"


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except pydantic.ValidationError as error:
        status = 400 if request.path.startswith(openai.PATHS) else Invalid.status
        return _problem(request, _invalid(error, status))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _problem(request, _refusal(request, error), headers)
    except ConnectionError:
        return _problem(request, Failure(CLIENT_LEFT, "client_left", "the client left"))
    except Exception as error:  # the boundary: nothing may leave a caller without an answer
        if not isinstance(error, AsrError):
            log.exception("%s %s failed", request[app_keys.REQUEST_ID], request.rel_url.raw_path)
        return _problem(request, Failure.of(error))


def _problem(
    request: web.Request, failure: Failure, headers: Mapping[str, str] = NO_HEADERS
) -> web.Response:
    """The answer to a failure, in the shape of the dialect that the caller speaks."""
    level = logging.ERROR if failure.status == 500 else logging.INFO
    failure = replace(failure, message=failure.message[:MESSAGE_CHARS])  # it may quote the caller
    status, message = failure.status, failure.message
    log.log(
        level,
        "%s %s: %d %r",
        request[app_keys.REQUEST_ID],
        request.rel_url.raw_path,
        status,
        message,
    )
    headers = dict(headers)
    if failure.retry_after is not None:
        headers["Retry-After"] = str(failure.retry_after)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    shape = openai.problem if request.path.startswith(openai.PATHS) else native.problem
    return web.json_response(shape(failure), status=status, headers=headers)


def _invalid(error: pydantic.ValidationError, status: int) -> Failure:
    parts = []
    problems = error.errors(include_url=False, include_context=False)
    for problem in problems:
        place = ".".join(str(step) for step in problem["loc"]) or "body"
        parts.append(f"{place}: {problem['msg']}")
    message = "; ".join(parts) + "; see /docs for what is accepted"
    first = problems[0]["loc"]
    return Failure(status, Invalid.code, message, str(first[0]) if first else None)


def _refusal(request: web.Request, error: web.HTTPException) -> Failure:
    """A failure that the router or the HTTP library saw."""
    if error.status == 404:
        return Failure(404, "unknown_url", f"there is no route {request.path}; see /docs")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{request.path} does not take {error.method}; use {allowed}"
        return Failure(405, "method_not_allowed", message)
    return Failure(error.status, "bad_request", error.text or error.reason)


@web.middleware
async def want_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse callers without the API key, where one is set."""
    key = request.app[app_keys.CONFIG].api_key
    if key is None or OPEN_PATHS.match(request.path):
        return await handler(request)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else ""
    given = given or request.headers.get("x-admin-api-key", "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), key.encode()):
        raise Unauthorized(
            "the API key is missing or wrong: send 'Authorization: Bearer KEY' "
            "or 'x-admin-api-key: KEY'"
        )
    return await handler(request)
