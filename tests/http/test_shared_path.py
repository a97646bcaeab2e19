"""A path of several dialects: each request goes to the one whose marks it has."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from aiohttp import FormData, web

from asr.config.config import Config
from asr.errors import BadRequest, Failure
from asr.http import sources
from asr.http.dialect import Dialect, Marks, Route, dialect_of
from asr.http.shared_path import handler_of
from asr.http.sources import body_limits
from asr.resources.memory_budget import MIB
from asr.server.app import DIALECTS, create_app
from tests.conftest import eventually, tone, wav
from tests.support.fake_engine import FakeEngine

CLIP = wav(tone(2.0))
NATIVE = {"text": " 2.00 s", "chunks": [{"timestamp": [0.0, 2.0], "text": " 2.00 s"}]}


async def weigh(request: web.Request) -> web.Response:
    """Answer with the length of the body, or with a failure if that is asked for."""
    if "fail" in request.query:
        raise BadRequest("it fails")
    data = [piece async for piece in sources.body(request, body_limits(request))]
    return web.json_response({"bytes": sum(map(len, data))})


def problem(failure: Failure) -> dict[str, Any]:
    return {"sorry": failure.status}


MARKED = Dialect(
    prefixes=(),
    routes=(Route("POST", "/asr", weigh), Route("POST", "/weigh", weigh)),
    problem=problem,
    marks=Marks(query=frozenset({"colour"}), files=frozenset({"sound"})),
)
ORDERS = [(*DIALECTS, MARKED), (MARKED, *reversed(DIALECTS))]


@pytest.fixture
def make(aiohttp_client: Any, engine: FakeEngine) -> Any:
    async def make(dialects: Any = ORDERS[0], **settings: Any) -> Any:
        config = Config(**{"vad": "off", **settings})
        return await aiohttp_client(create_app(config, lambda _: engine, dialects))

    return make


def form(name: str, audio: bytes = CLIP, **fields: str) -> FormData:
    made = FormData(fields, default_to_multipart=True)
    made.add_field(name, io.BytesIO(audio), filename="a.wav")
    return made


async def answered(client: Any, path: str, data: Any) -> tuple[int, Any]:
    response = await client.post(path, data=data)
    return response.status, await response.json()


@pytest.mark.parametrize("dialects", ORDERS)
async def test_one_mark_is_enough_and_none_is_the_others(make: Any, dialects: Any) -> None:
    client = await make(dialects)
    for path, part in (("/asr?colour=red", "other"), ("/asr", "sound"), ("/asr?colour=", "sound")):
        status, answer = await answered(client, path, form(part, more="text"))
        assert (status, answer["bytes"] > len(CLIP)) == (200, True), path
    for path, data in (("/asr", form("file", sound="text")), ("/asr?sound=1", CLIP)):
        assert await answered(client, path, data) == (200, NATIVE)


async def test_a_query_marks_a_form_and_what_has_no_body_alone(make: Any) -> None:
    client = await make()
    assert await answered(client, "/asr?colour=red", CLIP) == (200, NATIVE)
    assert await answered(client, "/asr?colour=red", None) == (200, {"bytes": 0})
    assert (await answered(client, "/asr", None))[1].keys() == {"error"}


async def test_a_path_of_its_own_needs_no_mark(make: Any) -> None:
    client = await make()
    assert await answered(client, "/weigh", CLIP) == (200, {"bytes": len(CLIP)})
    assert await answered(client, "/weigh?fail=1", CLIP) == (400, {"sorry": 400})


async def test_failures_have_the_shape_of_the_dialect_that_is_marked(make: Any) -> None:
    client = await make(api_key="k", max_body_mb=1)
    large = bytes(2 * MIB)
    key = {"x-admin-api-key": "k"}
    for query, shape in (("?colour=red", {"sorry"}), ("", {"error"})):
        for headers, status in (({}, 401), (key, 413)):
            made = form("sound", large)
            response = await client.post(f"/asr{query}", data=made, headers=headers)
            assert (response.status, (await response.json()).keys()) == (status, shape)
    wrong = await client.get("/asr?colour=red", headers=key)
    assert (wrong.status, await wrong.json()) == (405, {"sorry": 405})
    response = await client.post("/asr?fail=1", data=form("sound"), headers=key)
    assert (response.status, await response.json()) == (400, {"sorry": 400})


@pytest.mark.parametrize("query", ["", "?async=true", "?colour=red"])
async def test_a_full_queue_refuses_what_the_file_marks_too(
    make: Any, engine: FakeEngine, query: str
) -> None:
    client = await make(max_queue_seconds=1.0)
    engine.gate.clear()
    asking = asyncio.create_task(client.post("/asr", data=CLIP))
    await eventually(lambda: engine.steps)
    assert await answered(client, "/asr" + query, form("sound")) == (429, {"sorry": 429})
    engine.gate.set()
    assert (await asking).status == 200


async def test_a_body_that_breaks_off_before_its_file_is_the_others_failure(make: Any) -> None:
    client = await make()
    cut = b'--b\r\nContent-Disposition: form-data; name="sou'
    response = await client.post(
        "/asr", data=cut, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    answer = await response.json()
    assert response.status == 400
    assert "cut off" in answer["error"]


def test_two_dialects_without_marks_cannot_have_the_same_path() -> None:
    plain = Dialect(prefixes=("/x/",), routes=())
    other = Dialect(prefixes=("/y/",), routes=())
    route = Route("POST", "a", weigh)
    with pytest.raises(AssertionError):
        handler_of([(plain, route), (other, route)])
    assert dialect_of("/asr", (MARKED, *DIALECTS)) is DIALECTS[0]
