"""The name of a form's file is known early, and no byte of the body is lost by that."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from asr.config.config import Config
from asr.http import sources
from asr.http.app_keys import CONFIG
from asr.http.bodies.first_file import AHEAD_BYTES, first_file
from asr.http.sources import PARSER_SETTINGS, body_limits

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
SOUND = bytes(range(256)) * 4000
END = b"\r\n--b--\r\n"


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"'
    head += "" if filename is None else f'; filename="{filename}"'
    return head.encode() + b"\r\n\r\n" + data + b"\r\n"


BODIES = {
    "a file alone": (part("sound", SOUND, "a.wav") + END, "sound"),
    "fields before it": (part("a", b"b" * 999) * 9 + part("sound", SOUND, "") + END, "sound"),
    "the first of two": (part("one", b"1", "1") + part("two", SOUND, "2") + END, "one"),
    "no file": (part("a", b"b") + END, None),
    "a part without a file name": (part("sound", SOUND) + END, None),
    "a file behind long fields": (
        part("a", b"b" * 4 * AHEAD_BYTES) + part("sound", SOUND, "c") + END,
        None,
    ),
    "a form that is cut off": (part("sound", SOUND, "a.wav")[:-9], "sound"),
    "a form that is cut off before it": (part("a", b"b") + b"--b\r\nContent-Dis", None),
    "a part without a name": (b"--b\r\nX: y\r\n\r\n" + SOUND + END, None),
    "many boundaries": (b"--b\r\n" * 50_000, None),
    "no form": (SOUND, None),
    "nothing": (b"", None),
}


async def answer(request: web.Request) -> web.Response:
    name = await first_file(request)
    pieces = [data async for data in sources.body(request, body_limits(request))]
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()
    return web.json_response({"name": name, "digest": digest})


@pytest.fixture
async def client(aiohttp_client: Any) -> Any:
    app = web.Application(handler_args=PARSER_SETTINGS)
    app[CONFIG] = Config(max_body_mb=4)
    app.router.add_post("/", answer)
    return await aiohttp_client(app)


async def pieces_of(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [None, 100_000])
@pytest.mark.parametrize("case", BODIES)
async def test_the_name_is_told_and_no_byte_is_lost(
    client: Any, case: str, size: int | None
) -> None:
    body, name = BODIES[case]
    data = io.BytesIO(body) if size is None else pieces_of(body, size)
    found = await (await client.post("/", data=data, headers=FORM)).json()
    assert found == {"name": name, "digest": hashlib.sha256(body).hexdigest()}


async def test_a_head_that_comes_byte_by_byte_is_read(client: Any) -> None:
    body = part("a", b"b") + part("sound", b"c", "d") + END
    found = await (await client.post("/", data=pieces_of(body, 1), headers=FORM)).json()
    assert found == {"name": "sound", "digest": hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "multipart/form-data"},
        {"Content-Type": f"multipart/form-data; boundary={'b' * 99}"},
        {**FORM, "Content-Encoding": "gzip"},
    ],
)
async def test_a_form_that_cannot_be_read_has_no_file(client: Any, headers: dict[str, str]) -> None:
    body, _ = BODIES["a file alone"]
    sent = gzip.compress(body) if "Content-Encoding" in headers else body
    found = await (await client.post("/", data=io.BytesIO(sent), headers=headers)).json()
    assert found["name"] is None
