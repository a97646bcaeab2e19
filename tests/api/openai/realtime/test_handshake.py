"""Which requests open the WebSocket; what is wrong with others is told before the upgrade."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.support.realtime import URL

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455, section 1.3
HANDSHAKE = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


async def test_the_handshake_of_the_rfc_opens_it(live_client):
    answer = await live_client.get(URL, headers=HANDSHAKE)
    assert answer.status == 101
    assert answer.headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    answer.close()


@pytest.mark.parametrize(
    ("how", "status", "code", "remedy"),
    [
        ({"url": "/v1/realtime?intent=conversation"}, 400, "bad_request", "intent=transcription"),
        ({"protocols": ["chat"]}, 400, "bad_request", "offer it, or none at all"),
        ({"headers": {"Origin": "https://evil.example"}}, 403, "forbidden", "CORS_ORIGINS"),
    ],
)
async def test_what_cannot_be_opened_is_refused_before_the_upgrade(
    live_client, how, status, code, remedy
):
    url = how.pop("url", URL)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await live_client.ws_connect(url, **how)
    assert refused.value.status == status
    headers = {**HANDSHAKE, **how.get("headers", {})}
    if "protocols" in how:
        headers["Sec-WebSocket-Protocol"] = ", ".join(how["protocols"])
    answer = await live_client.get(url, headers=headers)
    error = (await answer.json())["error"]
    assert (answer.status, error["code"]) == (status, code)
    assert remedy in error["message"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_request_that_opens_no_socket_is_told_how(live_client, method):
    answer = await live_client.request(method, URL)
    assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
    if method == "GET":
        error = (await answer.json())["error"]
        assert error["code"] == "upgrade_required"
        assert "ws://" in error["message"]


WRONG = [
    ("Connection", "keep-alive", 400, "must be 'Upgrade'"),
    ("Sec-WebSocket-Version", None, 426, "is missing, and must be 13"),
    ("Sec-WebSocket-Version", "8", 426, "is '8', and must be 13"),
    ("Sec-WebSocket-Key", None, 400, "is missing, and must be 16 random bytes in base64"),
    ("Sec-WebSocket-Key", "short", 400, "is 'short', and must be"),
    ("Sec-WebSocket-Key", "AAAA", 400, "is 'AAAA', and must be"),
    ("Sec-WebSocket-Key", "schlüssel", 400, "and must be"),
]


@pytest.mark.parametrize(("name", "value", "status", "said"), WRONG)
async def test_a_header_that_breaks_the_handshake_is_named_and_leaves_no_session(
    live_client, name, value, status, said
):
    headers = {key: text for key, text in {**HANDSHAKE, name: value}.items() if text is not None}
    answer = await live_client.get(URL, headers=headers)
    error = (await answer.json())["error"]
    assert answer.status == status
    assert error["code"] == ("bad_request" if status == 400 else "upgrade_required")
    assert name in error["message"]
    assert said in error["message"]
    if status == 426:
        assert answer.headers["Upgrade"] == "websocket"
        assert answer.headers["Sec-WebSocket-Version"] == "13"
    assert (await (await live_client.get("/hc?verbose=1")).json())["live_sessions"] == 0


async def test_http_1_0_opens_no_socket(live_client):
    url = live_client.make_url("/")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    headers = {**HANDSHAKE, "Connection": "Upgrade"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {URL} HTTP/1.0\r\nHost: localhost\r\n{head}\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.split()[1] == "426"
    assert "proxy_http_version 1.1" in answer
