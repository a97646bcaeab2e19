"""`POST /v1/realtime/client_secrets`: what it answers, and that its secrets open sessions alone."""

from __future__ import annotations

import time

import aiohttp
import pytest
from openai.types.realtime import ClientSecretCreateResponse

from asr.config.keys import ApiKey
from asr.http.app_keys import LIVE, SECRETS
from tests.conftest import eventually
from tests.support.realtime import URL

PATH = "/v1/realtime/client_secrets"
KEY = {"Authorization": "Bearer k3y"}


async def test_the_answer_is_that_of_the_api(client):
    body = {
        "expires_after": {"anchor": "created_at", "seconds": 60},
        "session": {
            "type": "transcription",
            "audio": {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}},
        },
    }
    answer = await client.post(PATH, json=body)
    assert answer.headers["Cache-Control"] == "no-store"
    found = ClientSecretCreateResponse.model_validate(await answer.json())
    assert found.value.startswith("ek_")
    assert found.expires_at == pytest.approx(time.time() + 60, abs=30)
    assert found.session.type == "transcription"
    assert found.session.audio.input.format.type == "audio/pcmu"


async def test_an_empty_body_asks_for_the_defaults(client):
    for answer in (await client.post(PATH), await client.post("/api" + PATH, json={})):
        found = await answer.json()
        assert found["expires_at"] == pytest.approx(time.time() + 600, abs=30)
        assert found["session"]["audio"]["input"]["format"]["rate"] == 24_000


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ("{", None, 'send {"session":'),
        ("[]", None, 'send {"session":'),
        ('{"expires_after": {"seconds": 9}}', "expires_after", "at least 10"),
        ('{"expires_after": {"seconds": 7201}}', "expires_after", "at most 7200"),
        ('{"expires_after": {"anchor": "now"}}', "expires_after", "one of created_at"),
        ('{"session": 5}', "session", "must be an object"),
        ('{"session": {"type": "realtime"}}', "session.type", "one of transcription"),
    ],
)
async def test_what_cannot_be_made_is_refused(client, body, param, says):
    answer = await client.post(PATH, data=body, headers={"Content-Type": "application/json"})
    error = (await answer.json())["error"]
    assert (answer.status // 100, error["param"]) == (4, param)
    assert says in error["message"]


async def made(client, headers=KEY, **body):
    answer = await client.post(PATH, json=body, headers=headers)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def refused(client, **how) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await client.ws_connect(URL, **how)
    return error.value.status


async def test_a_secret_opens_a_session_with_its_configuration(make_live_client, connect):
    client = await make_live_client(api_key="k3y")
    given = {"turn_detection": None, "transcription": {"language": "es"}}
    secret = (await made(client, session={"type": "transcription", "audio": {"input": given}}))[
        "value"
    ]
    for how in (
        {"headers": {"Authorization": f"Bearer {secret}"}},
        {"protocols": ["realtime", f"openai-insecure-api-key.{secret}"]},
    ):
        socket = await connect(client, **how)
        session = (await socket.update())["session"]
        assert session["audio"]["input"]["turn_detection"] is None
        assert session["audio"]["input"]["transcription"]["language"] == "es"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/models"), ("POST", PATH), ("GET", "/metrics")]
)
async def test_a_secret_opens_nothing_else(make_live_client, method, path):
    client = await make_live_client(api_key="k3y")
    secret = (await made(client))["value"]
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await client.request(method, path, headers=headers)).status == 401


@pytest.mark.parametrize("settings", [{"api_key": "k3y"}, {}])
async def test_one_that_is_expired_or_forged_is_refused(make_live_client, settings):
    client = await make_live_client(**settings)
    expired, _ = client.app[SECRETS].make("", -1, {})
    for value in (expired, "ek_forged.x"):
        assert await refused(client, headers={"Authorization": f"Bearer {value}"}) == 401


async def test_a_server_without_keys_makes_secrets_as_well(make_live_client, connect):
    client = await make_live_client()
    secret = (await made(client, headers={}, session={"include": ["x"]}))["value"]
    await connect(client, headers={"Authorization": f"Bearer {secret}"})
    await connect(client, headers={"Authorization": "Bearer anything"})  # as for other routes


async def test_sessions_of_a_secret_count_for_the_client_who_made_it(make_live_client, connect):
    client = await make_live_client(api_keys=(ApiKey("bob", "b", 1), ApiKey("eve", "e")))
    secret = (await made(client, headers={"Authorization": "Bearer b"}))["value"]
    socket = await connect(client, headers={"Authorization": f"Bearer {secret}"})
    assert await refused(client, headers={"Authorization": "Bearer b"}) == 429
    await connect(client, headers={"Authorization": "Bearer e"})
    await socket.socket.close()
    await eventually(lambda: client.app[LIVE].count == 1)
    await connect(client, headers={"Authorization": "Bearer b"})
