"""The app: where its parts meet, its middleware, and the table of its routes."""

from __future__ import annotations

import hmac
import logging
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pydantic
import swagger_ui
from aiohttp import web

from asr import engine, keys, openapi, routes
from asr.audio import Decoder
from asr.config import Config
from asr.errors import AsrError, QueueFull, Unauthorized
from asr.metrics import Metrics
from asr.outbound import Limits, Outbound
from asr.scheduler import Scheduler
from asr.transcriber import Transcriber

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LoadEngine = Callable[[Config], engine.Engine]

OPEN_PATHS = re.compile(r"/(hc|health|openapi\.json|docs(/.*)?)$")  # no key wanted
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
MESSAGE_CHARS = 1000
CLIENT_LEFT = 499  # nginx's status for a caller who did not wait


def create_app(config: Config, load_engine: LoadEngine = engine.load) -> web.Application:
    """The service as an aiohttp application; the model is loaded when it starts."""
    app = web.Application(
        middlewares=[answer_everything, want_key], client_max_size=config.max_body_bytes
    )
    app[keys.CONFIG] = config
    app[keys.METRICS] = Metrics()
    app.cleanup_ctx.append(_outbound)
    app.cleanup_ctx.append(_engine(load_engine))
    app.on_response_prepare.append(_name_request)
    app.router.add_get("/hc", routes.hc)
    app.router.add_get("/health", routes.health)
    app.router.add_get("/metrics", routes.metrics)
    app.router.add_post("/asr", routes.transcribe)
    _add_docs(app)
    return app


def _add_docs(app: web.Application) -> None:
    document = openapi.document()

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
    config = app[keys.CONFIG]
    limits = Limits(config.max_body_bytes, config.fetch_timeout_s, config.allow_private_urls)
    app[keys.OUTBOUND] = Outbound(limits)
    await app[keys.OUTBOUND].open()
    yield
    await app[keys.OUTBOUND].close()


def _engine(load_engine: LoadEngine) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(app: web.Application) -> AsyncIterator[None]:
        config, metrics = app[keys.CONFIG], app[keys.METRICS]
        loaded = load_engine(config)
        decoder = Decoder(config.max_audio_seconds, config.decoders)
        scheduler = Scheduler(loaded, config.max_queue_seconds, metrics)
        app[keys.ENGINE] = loaded
        app[keys.SCHEDULER] = scheduler
        app[keys.TRANSCRIBER] = Transcriber(
            decoder,
            scheduler,
            loaded.info,
            config.chunk_length_s,
            config.stride_length_s,
            metrics,
        )
        scheduler.start()
        log.info("ready: %s on %s", loaded.info.model_id, loaded.info.hardware)
        yield
        await scheduler.stop()
        decoder.close()

    return context


async def _name_request(request: web.Request, response: web.StreamResponse) -> None:
    if keys.REQUEST_ID in request:
        response.headers["X-Request-ID"] = request[keys.REQUEST_ID]


@web.middleware
async def answer_everything(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id, turn failures into JSON, and count the answer."""
    asked = request.headers.get("X-Request-ID", "")
    request[keys.REQUEST_ID] = asked if REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
    status = CLIENT_LEFT
    try:
        response = await _answered(request, handler)
        status = response.status
        return response
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        request.app[keys.METRICS].requests.labels(route, str(status)).inc()


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except AsrError as error:
        return _problem(request, error.status, error.message, error)
    except pydantic.ValidationError as error:
        return _problem(request, 422, _validation_message(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _problem(request, error.status, _http_message(request, error))
    except ConnectionError:
        return _problem(request, CLIENT_LEFT, "the client left")
    except Exception:  # the boundary: nothing may leave a caller without an answer
        log.exception("%s %s failed", request[keys.REQUEST_ID], request.raw_path)
        return _problem(request, 500, "an error of the server; its log has it under this id")


def _problem(
    request: web.Request, status: int, message: str, error: AsrError | None = None
) -> web.Response:
    level = logging.ERROR if status == 500 else logging.INFO
    message = message[:MESSAGE_CHARS]  # it may quote what the caller sent
    log.log(level, "%s %s: %d %r", request[keys.REQUEST_ID], request.raw_path, status, message)
    headers = {}
    if isinstance(error, QueueFull):
        headers["Retry-After"] = str(error.retry_after)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.json_response({"error": message}, status=status, headers=headers)


def _validation_message(error: pydantic.ValidationError) -> str:
    parts = []
    for problem in error.errors(include_url=False, include_context=False):
        place = ".".join(str(step) for step in problem["loc"]) or "body"
        parts.append(f"{place}: {problem['msg']}")
    return "; ".join(parts) + "; see /docs for what is accepted"


def _http_message(request: web.Request, error: web.HTTPException) -> str:
    if error.status == 404:
        return f"there is no route {request.path}; see /docs"
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return f"{request.path} does not take {error.method}; use {allowed}"
    return error.text or error.reason


@web.middleware
async def want_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse callers without the API key, where one is set."""
    key = request.app[keys.CONFIG].api_key
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
