"""The OpenAPI document, put together from the dialects, and the page that shows it."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from openapi_pydantic import OpenAPI
from openapi_pydantic.util import construct_open_api_with_schema_class
from swagger_ui.core import ApplicationDocument

import asr
from asr.http.dialect import Dialect, Route
from asr.http.openapi import Json

PAGES = {"/docs", "/docs/"}
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)  # The page itself holds this one.


def add_docs(app: web.Application, dialects: Sequence[Dialect]) -> None:
    """Serve the document at `/openapi.json` and Swagger UI, from local files, at `/docs`."""
    text, described = _documented(tuple(dialects))

    async def openapi_json(_: web.Request) -> web.Response:
        return web.json_response(text=text)

    app.router.add_get("/openapi.json", openapi_json)
    page = ApplicationDocument(
        app,
        config=described,
        url_prefix="/docs",
        title=described["info"]["title"],
        host_inject=False,
        parameters={"validatorUrl": "null"},
    )
    page.match_handler()(page)
    policy = functools.cache(lambda: _policy(page.doc_html))

    async def protect(request: web.Request, response: web.StreamResponse) -> None:
        if request.path in PAGES:
            response.headers["Content-Security-Policy"] = policy()
            response.headers["Referrer-Policy"] = "no-referrer"

    app.on_response_prepare.append(protect)


def _policy(page: str) -> str:
    """What the page may load and send: its own files, and requests to its own server.

    Its own script is named by its hash. Swagger UI writes styles into elements, and has small
    pictures as `data:` URIs.
    """
    hashes = [hashlib.sha256(script.encode()).digest() for script in SCRIPT.findall(page)]
    scripts = [f"'sha256-{base64.b64encode(each).decode()}'" for each in hashes]
    return "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src 'self'", *scripts]),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


@functools.cache
def _documented(dialects: tuple[Dialect, ...]) -> tuple[str, Json]:
    """The document as JSON and as data; a fifth of a second, once for all apps of a process."""
    described = document(dialects)
    return json.dumps(described), described


def document(dialects: Sequence[Dialect]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of all routes, as JSON-ready data."""
    described = OpenAPI.model_validate(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "asr-api",
                "version": asr.__version__,
                "description": "Automatic speech recognition: send audio, get text. Home Assistant "
                "uses no route, but the Wyoming protocol on WYOMING_PORT.",
            },
            "paths": _paths(dialects),
            "webhooks": _webhooks(dialects) or None,
            "components": {
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "header": {"type": "apiKey", "in": "header", "name": "x-admin-api-key"},
                }
            },
        }
    )
    whole = construct_open_api_with_schema_class(described)
    return whole.model_dump(mode="json", by_alias=True, exclude_none=True)


def _paths(dialects: Sequence[Dialect]) -> Json:
    """The operations of all routes, by path and method."""
    found: dict[str, Json] = {}
    for dialect in dialects:
        for route in dialect.routes:
            if route.operation is not None:
                path, *aliases = dialect.paths(route)
                methods = found.setdefault(_template(path), {})
                methods[route.method.lower()] = _operation(route, aliases)
    return found


def _webhooks(dialects: Sequence[Dialect]) -> Json:
    """The Path Items of all webhooks, by event."""
    found: Json = {}
    for dialect in dialects:
        if dialect.webhooks is not None:
            found |= dialect.webhooks()
    return found


def _operation(route: Route, aliases: Sequence[str]) -> Json:
    """The operation of a route; its description names the other paths."""
    assert route.operation is not None
    operation = route.operation()
    if not aliases:
        return operation
    others = ", ".join(f"`{_template(path)}`" for path in aliases)
    parts = [operation.get("description", ""), f"The same at {others}."]
    return {**operation, "description": "\n\n".join(filter(None, parts))}


def _template(path: str) -> str:
    """aiohttp's path as OpenAPI writes it: `{id:.+}` is `{id}`."""
    return re.sub(r"\{(\w+):[^{}]*\}", r"{\1}", path)
