"""What every request passes: the API key, and failures of the router as JSON."""

import pytest

from tests.conftest import tone, wav

OPEN = ["/hc", "/health", "/docs", "/docs/", "/openapi.json"]
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
        assert "API key" in (await response.json())["error"]
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
