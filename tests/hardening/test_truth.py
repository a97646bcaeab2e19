"""Callers with mixed routes, options and formats get the texts of a caller who is alone."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from benchmark.reliability.truth import compare
from benchmark.soak.cards import WAYS, deck
from benchmark.soak.clips import Clip, speech
from tests.conftest import Server

CLIENTS, REQUESTS, CARDS = 8, 2, 10


async def test_each_text_equals_its_solo_run(server: Server) -> None:
    cards = deck(speech()[: len(WAYS)])[:CARDS]
    found = await compare(server.url, cards, CLIENTS, REQUESTS)
    assert found.requests == CLIENTS * REQUESTS
    assert found.failures == []
    assert found.unlike == []


async def test_a_text_that_belongs_to_somebody_else_is_found(aiohttp_server: Any) -> None:
    calls = 0

    async def confused(_: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return web.json_response({"text": "another's" if calls == 3 else "mine"})

    app = web.Application()
    app.router.add_post("/asr", confused)
    url = str((await aiohttp_server(app)).make_url("")).rstrip("/")
    card = WAYS[0].card(Clip("a.wav", b"RIFF"))
    found = await compare(url, [card], clients=2, requests=2)
    assert found.failures == []
    assert len(found.unlike) == 1
    assert "another's" in found.unlike[0]


async def test_a_request_that_fails_is_named(aiohttp_server: Any) -> None:
    calls = 0

    async def failing(_: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        if calls == 1:
            return web.json_response({"text": "mine"})
        return web.json_response({"error": "broken"}, status=500)

    app = web.Application()
    app.router.add_post("/asr", failing)
    url = str((await aiohttp_server(app)).make_url("")).rstrip("/")
    found = await compare(url, [WAYS[0].card(Clip("a.wav", b"RIFF"))], clients=1, requests=1)
    assert len(found.failures) == 1
    assert "500" in found.failures[0]
