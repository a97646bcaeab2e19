"""The client of a server's jobs: repeats what is lost, and says what is wrong in a sentence."""

from __future__ import annotations

import pytest
from aiohttp import web

from asr.cli import client as module
from asr.cli.client import JobView, Refused, Unreachable, connected
from tests.conftest import free_port

ANSWER = {"id": "j", "state": "queued", "progress": {"done": 0, "total": 3}}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)


@pytest.fixture
async def serve(aiohttp_server):
    """Return a function that starts a server of one handler, and returns its address."""

    async def start(handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        return str((await aiohttp_server(app)).make_url(""))

    return start


async def test_a_job_is_submitted_once_though_its_first_answer_is_lost(serve, tmp_path):
    audio, keys = tmp_path / "a.wav", []
    audio.write_bytes(b"sound")

    async def handler(request):
        form = await request.post()
        keys.append(request.headers["Idempotency-Key"])
        assert (form["file"].filename, form["file"].file.read()) == ("a.wav", b"sound")
        assert (form["priority"], request.headers["Authorization"]) == ("2", "Bearer k")
        if len(keys) == 1:
            request.transport.abort()
        if len(keys) == 2:
            return web.json_response({"error": "full"}, status=503, headers={"Retry-After": "0"})
        return web.json_response(ANSWER, status=202)

    async with connected(await serve(handler), "k") as client:
        found = await client.submit(str(audio), {"priority": 2}, "the key")
    assert JobView.of(found) == JobView("j", "queued", 0.0, 3.0, None)
    assert keys == ["the key"] * 3


async def test_a_url_is_sent_as_such(serve):
    async def handler(request):
        return web.json_response({**ANSWER, "body": await request.json()})

    async with connected(await serve(handler), None) as client:
        found = await client.submit("https://a.example/b", {"language": "en"}, "k")
    assert found["body"] == {"url": "https://a.example/b", "language": "en"}


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, '{"error": "no job"}', "the server answered 404: no job"),
        (401, '{"error": {"message": "no key"}}', "the server answered 401: no key"),
        (502, "<html>bad gateway</html>", "the server answered 502: <html>bad gateway</html>"),
        (403, "[]", "the server answered 403: []"),
    ],
)
async def test_what_the_server_says_is_told(serve, status, body, message):
    async def handler(_):
        return web.Response(status=status, text=body)

    async with connected(await serve(handler), None) as client:
        with pytest.raises(Refused) as refused:
            await client.get("a/b")
    assert refused.value.message == message


async def test_events_go_on_after_the_last_one_that_came(serve):
    async def handler(request):
        assert request.rel_url.raw_path == "/jobs/a%2Fb/events"
        last = request.headers.get("Last-Event-ID")
        return web.Response(text=f": hi\n\nid: 1.2\ndata: {{}}\n\ndata: {last}\nid: 1.end\n\n")

    async with connected(await serve(handler), None) as client:
        assert [each async for each in client.events("a/b", "1.1")] == ["1.2", "1.end"]


async def test_no_server_is_one_sentence_at_once():
    async with connected(f"localhost:{free_port()}", None) as client:
        with pytest.raises(Unreachable, match="no server can be reached at http"):
            await client.get("a")
