"""Dialects as data: a folder and a row, and no other file learns the name."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pydantic import BaseModel

from asr.config.config import Config
from asr.errors import Failure, NotFound
from asr.http.dialect import Dialect, Route, dialect_of
from asr.server.app import DIALECTS, create_app
from tests.support.fake_engine import FakeEngine


class Wish(BaseModel):
    speed: int


async def wish(request: web.Request) -> web.Response:
    return web.json_response({"speed": Wish.model_validate(dict(request.query)).speed})


async def nowhere(_: web.Request) -> web.Response:
    raise NotFound("there is nothing", "speed")


def problem(failure: Failure) -> dict[str, Any]:
    return {"detail": [failure.message, failure.param]}


THIRD = Dialect(
    prefixes=("/v1/third/",),
    routes=(
        Route("GET", "wish", wish, lambda: {"summary": "Wish", "responses": {}}, ("hope",)),
        Route("POST", "nowhere", nowhere),
    ),
    problem=problem,
    invalid_status=400,
)

BARE = Dialect(prefixes=(), routes=(Route("POST", "/", nowhere), Route("GET", "/at/{id}", wish)))


@pytest.fixture
async def client(aiohttp_client: Any) -> TestClient[web.Request, web.Application]:
    engine = FakeEngine()
    app = create_app(Config(vad="off"), lambda _: engine, (*DIALECTS, THIRD))
    return await aiohttp_client(app)  # type: ignore[no-any-return]


async def test_a_third_dialect_has_its_routes_and_their_aliases(client: Any) -> None:
    for name in ("wish", "hope"):
        response = await client.get(f"/v1/third/{name}?speed=3")
        assert (response.status, await response.json()) == (200, {"speed": 3})


async def test_its_failures_have_its_shape_and_its_status(client: Any) -> None:
    invalid = await client.get("/v1/third/wish?speed=fast")
    assert invalid.status == 400
    message, param = (await invalid.json())["detail"]
    assert "speed: must be a whole number" in message
    assert param == "speed"
    missing = await client.post("/v1/third/nowhere")
    assert (missing.status, await missing.json()) == (
        404,
        {"detail": ["there is nothing", "speed"]},
    )
    unknown = await client.get("/v1/third/unknown")
    assert (unknown.status, "no route" in (await unknown.json())["detail"][0]) == (404, True)


async def test_the_other_dialects_answer_as_before(client: Any) -> None:
    for path, status, key in (("/asr?seed=x", 422, str), ("/v1/audio/transcriptions", 415, dict)):
        response = await client.post(path, data=b"RIFF" + bytes(100))
        assert response.status == status
        assert isinstance((await response.json())["error"], key)


async def test_its_documented_routes_are_in_the_document(client: Any) -> None:
    paths = (await (await client.get("/openapi.json")).json())["paths"]
    assert paths["/v1/third/wish"]["get"]["description"] == "The same at `/v1/third/hope`."
    assert not {"/v1/third/hope", "/v1/third/nowhere"} & paths.keys()


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/asr", ""),
        ("/v1", ""),
        ("*", ""),
        ("/v1/models", "/v1/"),
        ("/api/v1/models", "/v1/"),
        ("/v1/third/", "/v1/third/"),
        ("/v1/third", "/v1/"),
    ],
)
def test_the_longest_prefix_wins(path: str, prefix: str) -> None:
    for dialects in ((*DIALECTS, THIRD), (THIRD, *reversed(DIALECTS))):
        assert dialect_of(path, dialects).prefixes[0] == prefix


@pytest.mark.parametrize(
    ("path", "is_its_own"),
    [("/", True), ("/at/1", True), ("/at/a/b", True), ("/at", False), ("/x", False), ("*", False)],
)
def test_a_dialect_without_a_prefix_owns_the_paths_of_its_routes_alone(
    path: str, is_its_own: bool
) -> None:
    others = tuple(each for each in DIALECTS if each.prefixes)
    for dialects in ((*others, BARE), (BARE, *others)):
        assert (dialect_of(path, dialects) is BARE) == is_its_own
