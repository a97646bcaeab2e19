"""The page at `GET /`: static files, and what the page must know of this server."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from aiohttp import web
from pydantic import BaseModel, Field

from asr.config.config import DEMO_MODEL
from asr.http.app_keys import CLIENTS, CONFIG, ENGINE, LIVE, TRANSCRIBER

FOLDER = Path(__file__).resolve().parents[1] / "web"
SAMPLES = DEMO_MODEL.parent / "samples"
START, STATE = "index.html", "server.json"
OFFERED = ("en-several.flac", "es-several.flac", "en-long.flac")  # samples that a visitor may try

TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".html": "text/html",
        ".css": "text/css",
        ".js": "text/javascript",
        ".svg": "image/svg+xml",
        ".flac": "audio/flac",
    }
)
TEXT_TYPES = ("text/", "image/svg")  # They are UTF-8.

# The page loads, plays and calls what its own server has, and what the visitor chose.
POLICY = "; ".join(
    [
        "default-src 'self'",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "worker-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Cache-Control": "no-cache",  # Browsers ask each time, and get a 304 while nothing changed.
        "Content-Security-Policy": POLICY,
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        "Referrer-Policy": "no-referrer",
    }
)


@dataclass(frozen=True)
class PageFile:
    """One file of the page, as it is sent."""

    body: bytes
    content_type: str
    tag: str  # changes with the body

    @property
    def charset(self) -> str | None:
        return "utf-8" if self.content_type.startswith(TEXT_TYPES) else None


class Sample(BaseModel):
    """A recording that the page offers to try."""

    file: str = Field(examples=["en-several.flac"])
    language: str = Field(examples=["en"])
    seconds: float


class PageState(BaseModel):
    """What the page shows and hides by this server's settings."""

    needs_key: bool
    has_diarizer: bool
    has_live: bool
    has_live_room: bool = Field(description="One more live session may be opened")
    has_word_times: bool
    forced_language: str | None
    max_body_mb: float
    samples: list[Sample]


def add_page(app: web.Application) -> None:
    """Serve the page at `/` and its files below `/page/`."""
    app.router.add_get("/", start)
    app.router.add_get("/page/{file}", file)


async def start(request: web.Request) -> web.Response:
    """`GET /`: the page itself."""
    return _answer(request, START)


async def file(request: web.Request) -> web.Response:
    """`GET /page/{file}`: what the page consists of."""
    if request.match_info["file"] == STATE and request.app[CONFIG].page:
        return _state(request)
    return _answer(request, request.match_info["file"])


def _answer(request: web.Request, name: str) -> web.Response:
    found = page_files().get(name) if request.app[CONFIG].page else None
    if found is None:
        raise web.HTTPNotFound
    known = request.if_none_match or ()
    if any(tag.value in (found.tag, "*") for tag in known):
        response = web.Response(status=304, headers=HEADERS)
    else:
        response = web.Response(
            body=found.body,
            content_type=found.content_type,
            charset=found.charset,
            headers=HEADERS,
        )
    response.etag = found.tag
    return response


def _state(request: web.Request) -> web.Response:
    config, transcriber = request.app[CONFIG], request.app[TRANSCRIBER]
    state = PageState(
        needs_key=request.app[CLIENTS].need_keys,
        has_diarizer=transcriber.server_info.has_diarizer,
        has_live=config.max_live_sessions != 0,
        has_live_room=not request.app[LIVE].is_full,
        has_word_times=config.timestamps == "auto" and request.app[ENGINE].info.has_words,
        forced_language=transcriber.server_info.forced_language,
        max_body_mb=config.max_body_bytes / 2**20,
        samples=list(samples()),
    )
    headers = {**HEADERS, "Cache-Control": "no-store"}
    return web.json_response(text=state.model_dump_json(), headers=headers)


@functools.cache
def page_files() -> Mapping[str, PageFile]:
    """Every file that may be asked for, by its name; read once."""
    paths = [path for path in FOLDER.iterdir() if path.suffix in TYPES]
    paths += [SAMPLES / name for name in OFFERED if (SAMPLES / name).is_file()]
    return {path.name: _read(path) for path in paths}


def _read(path: Path) -> PageFile:
    body = path.read_bytes()
    return PageFile(body, TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:20])


@functools.cache
def samples() -> tuple[Sample, ...]:
    """The samples of the demo model, where this installation has them."""
    listed = SAMPLES / "samples.json"
    if not listed.is_file():
        return ()
    known = {each["file"]: each for each in json.loads(listed.read_text())}
    offered = [name for name in OFFERED if name in known and name in page_files()]
    return tuple(Sample.model_validate(known[name]) for name in offered)
