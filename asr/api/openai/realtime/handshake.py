"""The requests that open a WebSocket, and why others do not (RFC 6455, section 4.2)."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from aiohttp import HttpVersion11, hdrs, web

from asr.api.openai.realtime.socket import PROTOCOL
from asr.errors import BadRequest, UpgradeRequired
from asr.http.responses import WEBSOCKET_VERSION
from asr.text import quoted

INTENT = "transcription"
KEY_BYTES = 16  # A handshake's key is so many random bytes.
SHOWN_CHARS = 50  # An error shows so much of what a client has sent.


def check_handshake(request: web.Request) -> None:
    """Refuse what opens no WebSocket that its client could use.

    Raises:
        UpgradeRequired: it does not ask for a WebSocket of a known version, over HTTP/1.1.
        BadRequest: it does, and one of its headers or parameters cannot be used.
    """
    _check_upgrade(request)
    _check_key(request)
    intent = request.query.get("intent", INTENT)
    if intent != INTENT:
        raise BadRequest(
            f"intent: {_shown(intent)} is not possible, because this server only "
            f"transcribes: connect with intent={INTENT}",
            "intent",
        )
    offered = list(protocols(request))
    if offered and PROTOCOL not in offered:
        raise BadRequest(
            f"the subprotocol must be '{PROTOCOL}': offer it, or none at all",
            hdrs.SEC_WEBSOCKET_PROTOCOL,
        )


def protocols(request: web.Request) -> Iterator[str]:
    """The subprotocols that the client offers."""
    for header in request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()):
        yield from (name.strip() for name in header.split(","))


def _check_upgrade(request: web.Request) -> None:
    upgrade = request.headers.get(hdrs.UPGRADE, "").strip().lower()
    if request.method != "GET" or upgrade != "websocket":
        raise UpgradeRequired(
            f"{request.path} is a WebSocket: connect to it with ws:// or wss://, as OpenAI's "
            "clients do; recordings go to /v1/audio/transcriptions"
        )
    if request.version < HttpVersion11:
        raise UpgradeRequired(
            "a WebSocket needs HTTP/1.1, and this request came as HTTP/1.0: let the proxy in "
            "between speak HTTP/1.1 to the server (nginx: proxy_http_version 1.1)"
        )
    connection = ",".join(request.headers.getall(hdrs.CONNECTION, ())).lower()
    if "upgrade" not in (option.strip() for option in connection.split(",")):
        raise BadRequest(
            "the header Connection must be 'Upgrade' beside 'Upgrade: websocket': a proxy in "
            "between may have to be told to hand it on",
            hdrs.CONNECTION,
        )
    version = request.headers.get(hdrs.SEC_WEBSOCKET_VERSION, "").strip()
    if version != WEBSOCKET_VERSION:
        said = f"is {_shown(version)}" if version else "is missing"
        raise UpgradeRequired(
            f"the header Sec-WebSocket-Version {said}, and must be {WEBSOCKET_VERSION} "
            "(RFC 6455): use a current WebSocket client"
        )


def _check_key(request: web.Request) -> None:
    key = request.headers.get(hdrs.SEC_WEBSOCKET_KEY, "").strip()
    try:
        is_key = len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except ValueError:  # no base64
        is_key = False
    if not is_key:
        said = f"is {_shown(key)}" if key else "is missing"
        raise BadRequest(
            f"the header Sec-WebSocket-Key {said}, and must be {KEY_BYTES} random bytes in "
            "base64 (RFC 6455): use a WebSocket client, which sends one itself",
            hdrs.SEC_WEBSOCKET_KEY,
        )


def _shown(value: str) -> str:
    return quoted(value[:SHOWN_CHARS])
