"""Names to be known reach the engine from every route, under the names that its clients use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import FormData

from asr.engines.engine import WindowResult
from asr.transcript import Segment
from tests.http.test_parameters import CLIP, by_form, by_json, by_openai, by_query, by_url_form
from tests.support.fake_engine import FakeEngine
from tests.support.forms import options_asked

Way = Callable[[Any, Any], Awaitable[Any]]


async def by_webservice(client: Any, fields: Any) -> Any:
    data = FormData()
    data.add_field("audio_file", CLIP, filename="a.wav")
    return await client.post("/asr?output=txt", params=fields, data=data)


async def by_truss(client: Any, fields: Any) -> Any:
    return await client.post("/predict", params=fields, data=CLIP)


async def by_deepgram(client: Any, fields: Any) -> Any:
    named = [("keyterm" if name == "hotwords" else name, value) for name, value in fields.items()]
    return await client.post("/v1/listen", params=named, data=CLIP)


ASR: list[Way] = [by_query, by_json, by_url_form, by_form]
WAYS: list[Way] = [*ASR, by_openai, by_webservice]


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.info = replace(engine.info, can_prompt=True)
    return engine


@pytest.mark.parametrize("way", [*WAYS, by_truss])
async def test_hotwords_are_a_text_with_commas(client: Any, engine: Any, way: Way) -> None:
    response = await way(client, {"hotwords": "Ogden,  New York, Ogden,"})
    assert response.status == 200, await response.text()
    asked = options_asked(engine)
    assert (asked.vocabulary, asked.prompt) == (("Ogden", "New York"), None)
    assert "X-Warnings" not in response.headers


@pytest.mark.parametrize("way", [*ASR[:1], *ASR[2:], by_openai])
async def test_keywords_may_be_repeated(client: Any, engine: Any, way: Way) -> None:
    fields = [("keywords[]", "Öland"), ("keywords[]", "Gotland"), ("hotwords", "keel")]
    if way is by_url_form:
        fields = [("keywords", "Öland,Gotland"), ("hotwords", "keel")]
        response = await way(client, dict(fields))
    else:
        response = await way(client, fields)
    assert response.status == 200, await response.text()
    assert options_asked(engine).vocabulary == ("keel", "Öland", "Gotland")


async def test_a_name_in_a_list_may_have_a_comma(client: Any, engine: Any) -> None:
    await by_openai(client, [("keywords[]", "Gotland, too")])
    await by_json(client, {"keywords": ["Gotland, too"], "hotwords": ["a"]})
    known = [window.options.vocabulary for [window] in engine.steps]
    assert known == [("Gotland, too",), ("a", "Gotland, too")]


@pytest.mark.parametrize("way", [*WAYS, by_truss, by_deepgram])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (201 * "a", "has 201 characters in its 1. name, and a name may have 200: send names"),
        ("A\x01da", "has a control character in its 1. name"),
    ],
)
async def test_what_is_no_name_is_refused_by_its_field(
    client: Any, engine: Any, way: Way, value: str, reason: str
) -> None:
    response = await way(client, {"hotwords": value})
    text = await response.text()
    assert response.status in {400, 422}, text
    assert reason in text
    assert ("keyterm" if way is by_deepgram else "hotwords") in text
    assert engine.steps == []


async def test_more_than_500_names_are_refused(client: Any) -> None:
    response = await by_json(client, {"keywords": ["a"] * 900})
    assert "has 900 names, and may have 500" in await response.text()


@pytest.mark.parametrize("way", [by_query, by_openai, by_webservice, by_truss, by_deepgram])
async def test_a_model_without_prompts_does_not_know_them(
    make_client: Any, engine: Any, way: Way
) -> None:
    engine.info = replace(engine.info, can_prompt=False)
    response = await way(await make_client(), {"hotwords": "Ogden"})
    said = response.headers.get("X-Warnings", "") + await response.text()
    assert ("keyterm" if way is by_deepgram else "hotwords") in said
    assert response.status == (400 if way in {by_query, by_truss} else 200)
    assert all(window.options.vocabulary == () for [window] in engine.steps)


@pytest.mark.parametrize("way", [by_query, by_openai, by_webservice, by_truss, by_deepgram])
async def test_names_that_have_no_room_are_a_warning(client: Any, engine: Any, way: Way) -> None:
    def transcribe(window: Any) -> WindowResult:
        return WindowResult(window, (Segment(0.0, 1.0, " a"),), "en", left_out=("Ogden", "keel"))

    engine.transcribe = transcribe
    response = await way(client, {"hotwords": "Ogden"})
    assert response.status == 200
    said = "the model's prompt has no room for these names: Ogden, keel: send fewer names"
    assert response.headers["X-Warnings"].count(said) == 1
