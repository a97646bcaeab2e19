"""Refuses foreign web pages and wrong host names, by CORS_ORIGINS and ALLOWED_HOSTS.

A browser sends what any page tells it to: a form or `fetch` of text reaches a server in the
user's network without a question (https://fetch.spec.whatwg.org/#cors-protocol only keeps the
answer from the page). So requests of foreign pages are refused, not just left unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiohttp import web

from asr.errors import Forbidden, WrongHost
from asr.http.app_keys import CONFIG
from asr.http.dialect import Handler

EVERY = "*"  # This entry of CORS_ORIGINS allows all pages.
PROBED = {"/hc", "/health"}  # A probe knows the server's address, not its name.
PREFLIGHT_SECONDS = "600"  # A browser asks again after so long whether a request is allowed.
DEFAULT_PORTS = {"http": ":80", "https": ":443"}  # An origin does not name them, a Host may.
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
SHOWN_CHARS = 200  # A message shows at most so many characters of what a caller sent.


@web.middleware
async def check_caller(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse foreign pages and wrong hosts, and answer OPTIONS for every route."""
    _check_host(request)
    _check_origin(request)
    if request.method == "OPTIONS":
        refusal = request.match_info.http_exception
        if isinstance(refusal, web.HTTPMethodNotAllowed):
            return _options(request, refusal.allowed_methods)
    return await handler(request)


async def name_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Let an allowed page read the answer."""
    origins = request.app[CONFIG].cors_origins
    if origins is None:
        return
    response.headers.add("Vary", "Origin")  # else a cache gives one page's answer to another
    origin = request.headers.get("Origin")
    if origin is not None and _is_allowed(origin, origins):
        response.headers["Access-Control-Allow-Origin"] = EVERY if EVERY in origins else origin
        response.headers["Access-Control-Expose-Headers"] = "*"


def _check_host(request: web.Request) -> None:
    hosts = request.app[CONFIG].allowed_hosts
    if hosts is None or request.path in PROBED:
        return
    target = request.rel_url.host_subcomponent  # None where the request line has a path alone
    asked = request.headers.get("Host", "") if target is None else target
    name = re.sub(r":\d*$", "", asked).lower().rstrip(".")
    if name not in hosts and not any(_covers(host, name) for host in hosts):
        raise WrongHost(
            f"this server does not answer for the host '{_shown(name)}': use one of its names, "
            "or add this one to ALLOWED_HOSTS on the server"
        )


def _covers(pattern: str, name: str) -> bool:
    """Whether `*.example.com` stands for the name."""
    return pattern.startswith("*.") and name.endswith(pattern[1:])


def _check_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is None or _is_own(request, origin):
        return
    if not _is_allowed(origin, request.app[CONFIG].cors_origins or ()):
        raise Forbidden(
            f"pages of the origin '{_shown(origin)}' may not use this server: "
            "add it to CORS_ORIGINS on the server"
        )


def _is_own(request: web.Request, origin: str) -> bool:
    """Whether the page came from this server, perhaps by a gateway under another name.

    Pages cannot set Sec-Fetch-Site, Host or X-Forwarded-Host: the last needs a preflight.
    """
    if request.headers.get("Sec-Fetch-Site") == "same-origin":
        return True
    scheme, has_host, host = origin.lower().partition("://")
    if not has_host or not host:
        return False
    port = DEFAULT_PORTS.get(scheme, "")
    hosts = [*request.headers.getall("Host", ()), *request.headers.getall("X-Forwarded-Host", ())]
    names = ",".join(hosts).lower().split(",")
    return any(name.strip().removesuffix(port) == host for name in names)


def _is_allowed(origin: str, origins: Sequence[str]) -> bool:
    return EVERY in origins or origin.lower() in origins


def _options(request: web.Request, methods: set[str]) -> web.Response:
    allow = ", ".join(sorted({*methods, "OPTIONS"}))
    headers = {"Allow": allow}
    if "Origin" in request.headers and "Access-Control-Request-Method" in request.headers:
        asked = HEADER_NAME.findall(request.headers.get("Access-Control-Request-Headers", ""))
        headers["Access-Control-Allow-Methods"] = allow
        headers["Access-Control-Allow-Headers"] = ", ".join(asked)
        headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
    return web.Response(status=204, headers=headers)


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)[:SHOWN_CHARS]
