"""What every request passes: its id, the API key, and failures as JSON in its dialect's shape."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

import pydantic
from aiohttp import hdrs, web

from asr.errors import AsrError, Failure, Invalid, Unauthorized
from asr.http import app_keys
from asr.http.bodies.values import check_texts
from asr.http.dialect import Dialect, Handler, dialect_of
from asr.http.responses import WEBSOCKET_VERSION, caller
from asr.live.client_secrets import PREFIX
from asr.server.logs import redacted

log = logging.getLogger(__name__)

OPEN_PATHS = re.compile(r"/(hc|health|openapi\.json|docs(/.*)?)$")  # They need no API key.
PAGE_PATHS = re.compile(r"/(page/[^/]*)?$")  # Nor do these to be read; what the page calls does.
READING = frozenset({"GET", "HEAD"})
# A browser cannot set headers of a WebSocket: OpenAI's client for it sends the key as the name of
# a subprotocol that begins with this.
KEY_PROTOCOL = "openai-insecure-api-key."
PATH_CHARS = 200  # A log line shows at most so many characters of a path.
SCHEMES = {"bearer", "token"}  # Of Authorization; Deepgram's clients say Token.
SAFE_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Server": "asr-api",  # else aiohttp names its version, and Python's
        "X-Content-Type-Options": "nosniff",  # a browser takes no answer for a page that is none
    }
)
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")  # A caller's id is kept if it looks like this.
MESSAGE_CHARS = 1000  # Longer messages are cut, because they may quote the caller.
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
CLIENT_LEFT = 499  # nginx's status for a caller who closed the connection before the answer.


@web.middleware
async def answer_everything(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id, turn failures into JSON, and count the answer."""
    asked = request.headers.get("X-Request-ID", "")
    request[app_keys.REQUEST_ID] = asked if REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
    request[app_keys.CLIENT] = ""
    status, route = CLIENT_LEFT, await _route(request)
    try:
        response = await _answered(request, handler)
        status = response.status
        return response
    finally:
        request.app[app_keys.METRICS].requests.labels(route, str(status)).inc()


@web.middleware
async def want_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse callers without a key, where one is set, and more requests than a client may have.

    Only requests that bring something count: a client may look at its jobs as often as it likes.
    """
    clients = request.app[app_keys.CLIENTS]
    is_live = request.method == "GET" and _is_live(request)
    if _is_open(request) or not (clients.need_keys or is_live):
        return await handler(request)
    given = _given_key(request) or (_key_in_protocols(request) if is_live else "")
    client = clients.client_of(given) if clients.need_keys else ""
    if given.startswith(PREFIX) and is_live and (client is None or not clients.need_keys):
        secret = request.app[app_keys.SECRETS].read(given)
        request[app_keys.CLIENT_SECRET], client = secret, secret.client
    if client is None:
        raise Unauthorized(
            "the API key is missing or wrong: send 'Authorization: Bearer KEY', "
            "'Authorization: Token KEY' or 'x-admin-api-key: KEY'"
        )
    request[app_keys.CLIENT] = client
    counts = is_live or request.method == "POST"
    with clients.request(client) if counts else contextlib.nullcontext():
        return await handler(request)


def _is_open(request: web.Request) -> bool:
    is_page = request.method in READING and PAGE_PATHS.match(request.path)
    return bool(is_page or OPEN_PATHS.match(request.path))


def _is_live(request: web.Request) -> bool:
    dialects = request.app[app_keys.DIALECTS]
    lives = [(each, route) for each in dialects for route in each.routes if route.is_live]
    return any(request.path in dialect.paths(route) for dialect, route in lives)


def _given_key(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    given = token.strip() if scheme.lower() in SCHEMES else ""
    return given or request.headers.get("x-admin-api-key", "")


def _key_in_protocols(request: web.Request) -> str:
    offered = ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ())).split(",")
    keys = [each.strip() for each in offered if each.strip().startswith(KEY_PROTOCOL)]
    return keys[0].removeprefix(KEY_PROTOCOL) if keys else ""


async def name_request(request: web.Request, response: web.StreamResponse) -> None:
    """Give the answer its request's id, and close a connection that cannot be read further."""
    response.headers.update(SAFE_HEADERS)
    if app_keys.REQUEST_ID in request:
        response.headers["X-Request-ID"] = request[app_keys.REQUEST_ID]
    if request.content.exception() is not None:  # nothing after it can be understood
        response.force_close()
        response.headers["Connection"] = "close"


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        if request.method == hdrs.METH_POST:
            check_texts(request.query.items())
        return await handler(request)
    except pydantic.ValidationError as error:
        return _problem(request, _dialect(request).invalid(error))
    except Invalid as error:
        status = _dialect(request).invalid_status
        return _problem(request, replace(Failure.of(error), status=status))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _problem(request, refusal(request, error), headers)
    except ConnectionError:
        return _problem(request, Failure(CLIENT_LEFT, "client_left", "the client left"))
    except Exception as error:  # the boundary: nothing may leave a caller without an answer
        if not isinstance(error, AsrError):
            log.exception("%s %s failed", caller(request), _shown_path(request))
        return _problem(request, Failure.of(error))


def refusal(request: web.BaseRequest, error: web.HTTPException) -> Failure:
    """A failure that the router or the HTTP library saw."""
    if error.status == 404:
        return Failure(404, "unknown_url", f"there is no route {request.path}; see /docs")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{request.path} does not accept {error.method}; use {allowed}"
        return Failure(405, "method_not_allowed", message)
    return Failure(error.status, "bad_request", error.text or error.reason)


def _problem(
    request: web.Request, failure: Failure, headers: Mapping[str, str] = NO_HEADERS
) -> web.Response:
    """The answer to a failure, in the shape of the dialect that the caller speaks."""
    level = logging.ERROR if failure.status == 500 else logging.INFO
    message = redacted(failure.message)[:MESSAGE_CHARS]
    failure = replace(failure, message=message, request_id=request[app_keys.REQUEST_ID])
    status = failure.status
    log.log(
        level,
        "%s %s: %d %r",
        caller(request),
        _shown_path(request),
        status,
        message,
    )
    headers = dict(headers)
    if failure.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(failure.retry_after))
        headers["retry-after-ms"] = str(math.ceil(1000 * failure.retry_after))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 426:
        headers["Upgrade"] = "websocket"
        headers[hdrs.SEC_WEBSOCKET_VERSION] = WEBSOCKET_VERSION
    answer = _dialect(request).problem(failure)
    return web.json_response(answer, status=status, headers=headers)


def _shown_path(request: web.Request) -> str:
    return redacted(request.rel_url.raw_path)[:PATH_CHARS]


def _dialect(request: web.Request) -> Dialect:
    return dialect_of(request.path, request.app[app_keys.DIALECTS], request)


async def _route(request: web.Request) -> str:
    """The route as metrics name it, also where it does not take the request's method."""
    resources: Iterable[web.AbstractResource | None] = [request.match_info.route.resource]
    if isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
        resources = request.app.router.resources()
    for resource in resources:
        if resource is not None and any(await resource.resolve(request)):
            return resource.canonical
    return "unknown"
