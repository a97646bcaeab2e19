"""What every request passes: the API key, and failures of the router as JSON."""

import asyncio

import pytest

from asr.config.keys import ApiKey
from tests.conftest import eventually, tone, wav

OPEN = ["/", "/page/app.js", "/hc", "/health", "/docs", "/docs/", "/openapi.json"]
CLOSED = [("GET", "/metrics"), ("POST", "/asr")]


@pytest.mark.parametrize("path", OPEN)
async def test_probes_and_documentation_need_no_key(make_client, path):
    client = await make_client(api_key="k")
    assert (await client.get(path)).status == 200


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_everything_else_needs_the_key(make_client, method, path):
    client = await make_client(api_key="k")
    for headers in ({}, {"Authorization": "Bearer no"}, {"x-admin-api-key": "é"}):
        response = await client.request(method, path, headers=headers)
        assert response.status == 401
        said = (await response.json())["error"]
        for name in ("Bearer KEY", "Token KEY", "x-admin-api-key: KEY"):
            assert name in said
        assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("headers", [{"Authorization": "bearer k"}, {"x-admin-api-key": "k"}])
async def test_the_key_opens_as_bearer_or_admin_header(make_client, headers):
    client = await make_client(api_key="k")
    response = await client.post("/asr", data=wav(tone(1.0)), headers=headers)
    assert response.status == 200


async def test_an_unknown_route_and_a_wrong_method_are_answered_in_json(client):
    unknown = await client.get("/nowhere")
    assert (unknown.status, "no route" in (await unknown.json())["error"]) == (404, True)
    wrong = await client.get("/asr")
    assert (wrong.status, "use POST" in (await wrong.json())["error"]) == (405, True)


KEYS = (ApiKey("alice", "a:1=x"), ApiKey("bob", "b", 1))
ALICE, BOB = {"Authorization": "Bearer a:1=x"}, {"x-admin-api-key": "b"}


@pytest.mark.parametrize("headers", [ALICE, BOB, {"x-admin-api-key": "k"}])
async def test_each_of_several_keys_opens(make_client, headers):
    client = await make_client(api_keys=KEYS, api_key="k")
    assert (await client.post("/asr", data=wav(tone(1.0)), headers=headers)).status == 200


async def test_the_log_shows_the_name_of_the_client_and_no_key(make_client, caplog):
    client = await make_client(api_keys=KEYS)
    with caplog.at_level("INFO"):
        await client.post("/asr", data=wav(tone(1.0)), headers={**ALICE, "X-Request-ID": "r1"})
        await client.post("/asr", data=b"", headers={**BOB, "X-Request-ID": "r2"})
        await client.post("/asr", data=b"", headers={"X-Request-ID": "r3"})
    assert "r1 alice /asr: 1.0 s of audio" in caplog.text
    assert "r2 bob /asr: 400" in caplog.text
    assert "r3 /asr: 401" in caplog.text
    assert "a:1=x" not in caplog.text


async def test_a_client_with_too_many_requests_in_flight_gets_429_and_others_do_not(
    make_client, engine
):
    client = await make_client(api_keys=KEYS)
    engine.gate.clear()
    first = asyncio.ensure_future(client.post("/asr", data=wav(tone(1.0)), headers=BOB))
    await eventually(lambda: engine.steps)
    refused = await client.post("/v1/audio/transcriptions", headers=BOB)
    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) >= 1
    problem = (await refused.json())["error"]
    assert (problem["type"], problem["code"]) == ("rate_limit_error", "too_many_requests")
    assert (await client.get("/metrics", headers=BOB)).status == 200  # it brings nothing
    other = asyncio.ensure_future(client.post("/asr", data=wav(tone(1.0)), headers=ALICE))
    engine.gate.set()
    assert [(await each).status for each in (first, other)] == [200, 200]
    assert (await client.post("/asr", data=wav(tone(1.0)), headers=BOB)).status == 200
