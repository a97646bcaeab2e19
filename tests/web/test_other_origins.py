"""Pages of other origins in a browser: what they can do, and read, with CORS_ORIGINS and without.

The server with the fake engine and the page's own server run in the browser's loop.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from asr.config.config import Config
from asr.server.app import create_app
from tests.conftest import PATIENCE_SECONDS, tone, wav
from tests.support.fake_engine import FakeEngine

SOUND = base64.b64encode(wav(tone(1.0))).decode()
KEY = "sesame"
SEND = """async ([url, key, sound]) => {
  const bytes = Uint8Array.from(atob(sound), (letter) => letter.charCodeAt(0));
  const form = new FormData();
  form.append("file", new Blob([bytes]), "a.wav");
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  try {
    const answer = await fetch(url, { method: "POST", body: form, headers });
    const [length, id] = ["X-Audio-Length", "X-Request-ID"].map((name) => answer.headers.get(name));
    return { status: answer.status, length, id, ...(await answer.json()) };
  } catch (error) {
    return { refused: error.name };
  }
}"""
SUBMIT = """([url, sound]) => {
  const form = document.createElement("form");
  Object.assign(form, { action: url, method: "post", enctype: "multipart/form-data" });
  const field = document.createElement("input");
  Object.assign(field, { name: "url", value: `data:audio/wav;base64,${sound}` });
  form.append(field);
  document.body.append(form);
  form.submit();
}"""
CONNECT = """(url) => new Promise((done) => {
  const socket = new WebSocket(url.replace("http", "ws"), ["realtime"]);
  socket.onopen = () => done("open");
  socket.onerror = () => done("refused");
})"""


@contextlib.asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """An app on a free port of this machine; yields its address."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def elsewhere() -> AsyncIterator[str]:
    """A server of an empty page; another port is another origin."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(
            text="<!doctype html><title>elsewhere</title>", content_type="text/html"
        )

    app = web.Application()
    app.router.add_get("/", page)
    async with served(app) as url:
        yield url


@contextlib.asynccontextmanager
async def visited(
    browser: Any, engine: FakeEngine, origins: str, key: str | None
) -> AsyncIterator[tuple[Any, str]]:
    """A foreign page, and the address of a server.

    Args:
        origins: "", "*", "exact" (the page's own) or another one.
    """
    async with elsewhere() as page_url:
        named = (page_url if origins == "exact" else origins,) if origins else None
        config = Config(vad="off", cors_origins=named, api_key=key, diarizer="off")
        async with served(create_app(config, lambda _: engine)) as url:
            context = await browser.new_context()
            context.set_default_timeout(1000 * PATIENCE_SECONDS)
            page = await context.new_page()
            await page.goto(page_url)
            try:
                yield page, url
            finally:
                await context.close()


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("origins", ["", "https://page.example"])
async def test_a_page_that_is_not_named_can_neither_use_the_server_nor_read_of_it(
    browser: Any, origins: str, key: str | None
) -> None:
    engine = FakeEngine()
    async with visited(browser, engine, origins, key) as (page, url):
        for path in ("/asr", "/v1/audio/transcriptions", "/v1/listen"):
            for sent in (key, None):  # with a preflight, and as a simple request without one
                answer = await page.evaluate(SEND, [url + path, sent, SOUND])
                assert answer == {"refused": "TypeError"}
        assert await page.evaluate(CONNECT, f"{url}/v1/realtime?intent=transcription") == "refused"
        async with page.expect_response(url + "/asr") as coming:
            await page.evaluate(SUBMIT, [url + "/asr", SOUND])
        assert (await coming.value).status == 403
    assert engine.steps == []


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("origins", ["exact", "*"])
async def test_a_page_that_is_named_posts_a_form_and_reads_the_answer_and_its_headers(
    browser: Any, origins: str, key: str | None
) -> None:
    async with visited(browser, FakeEngine(), origins, key) as (page, url):
        answer = await page.evaluate(SEND, [url + "/v1/audio/transcriptions", key, SOUND])
        assert (answer["status"], answer["text"]) == (200, "1.00 s")
        assert float(answer["length"]) == 1.0
        assert answer["id"]
        if key is not None:
            for wrong in (None, "guessed"):
                answer = await page.evaluate(SEND, [url + "/asr", wrong, SOUND])
                assert answer["status"] == 401
                assert "API key" in answer["error"]
