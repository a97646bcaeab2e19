"""What others lose beside an hour that is diarized: what is counted, and when a mark is missed."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import pytest
from aiohttp import web

from benchmark.demo import DemoFailed
from benchmark.load import beside_diarization
from benchmark.load.beside_diarization import ALONE, BOTH, SPEAKERS, TEXT, Measured
from tests.conftest import PATIENCE_SECONDS

OPTIONS = argparse.Namespace(callers=2, rounds=2, seconds=0.05)
DELTA = b'data: {"type": "transcript.text.delta", "delta": "a"}\n\n'
DONE = b'data: {"type": "transcript.text.done", "text": "a"}\n\n'


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside_diarization, "SETTLE_SECONDS", 0.0)


class Standin:
    """Answers as a server does; an hour is never answered, unless `status` is set."""

    def __init__(self) -> None:
        self.hours: list[str] = []  # the routes and formats of those that were begun
        self.left: asyncio.Queue[str] = asyncio.Queue()  # likewise, of those that were left
        self.status: int | None = None
        self.events = DELTA + DONE
        self.diarized = 0.0

    async def serve(self, aiohttp_server: Any) -> str:
        app = web.Application()
        app.router.add_post("/v1/audio/{route}", self._post)
        app.router.add_get("/metrics", self._metrics)
        server = await aiohttp_server(app)
        return str(server.make_url("/"))

    async def _post(self, request: web.Request) -> web.Response:
        form = await request.post()
        if "url" not in form:
            return web.Response(body=self.events, content_type="text/event-stream")
        if self.status is not None:
            return web.Response(status=self.status, text="no such file")
        hour = f"{request.match_info['route']} {form.get('response_format', '')}"
        self.hours.append(hour)
        try:
            return await asyncio.Event().wait()  # type: ignore[return-value]
        finally:
            self.left.put_nowait(hour)

    async def _metrics(self, _: web.Request) -> web.Response:
        self.diarized += 0.5
        return web.Response(
            text=f"asr_diarization_seconds_total {self.diarized / 5}\n"
            f"asr_diarized_audio_seconds_total {self.diarized}\n"
        )


async def test_clips_are_counted_while_the_hour_is_worked_on_in_each_way_in_turn(
    aiohttp_server: Any,
) -> None:
    standin = Standin()
    found = await beside_diarization.measured(await standin.serve(aiohttp_server), b"a", OPTIONS)
    others = ["speakers ", "transcriptions verbose_json", "transcriptions diarized_json"]
    assert standin.hours == [*others, *reversed(others)]
    left = [await asyncio.wait_for(standin.left.get(), PATIENCE_SECONDS) for _ in standin.hours]
    assert sorted(left) == sorted(standin.hours)
    for one in found.values():
        assert one.clips == len(one.firsts) >= 4
        assert one.seconds >= 0.1
        assert one.diarized == pytest.approx(1.0)  # half a second in each round
        assert one.computed == pytest.approx(0.2)


async def test_an_hour_that_is_answered_meanwhile_fails_the_measurement(
    aiohttp_server: Any,
) -> None:
    standin = Standin()
    standin.status = 404
    with pytest.raises(DemoFailed, match="speakers alone: answered too soon: 404 no such file"):
        await beside_diarization.measured(await standin.serve(aiohttp_server), b"a", OPTIONS)


@pytest.mark.parametrize("events", [DONE, DELTA, b""])
async def test_a_clip_without_first_words_or_an_end_fails_the_measurement(
    events: bytes, aiohttp_server: Any
) -> None:
    standin = Standin()
    standin.events = events
    with pytest.raises(DemoFailed, match="a clip was answered 200"):
        await beside_diarization.measured(await standin.serve(aiohttp_server), b"a", OPTIONS)


@pytest.mark.parametrize(
    ("clips", "first", "verdicts"),
    [
        (91, 0.54, ["met", "met"]),
        (89, 0.54, ["missed", "met"]),
        (91, 0.56, ["met", "missed"]),
    ],
)
def test_a_mark_is_missed_by_clips_that_are_fewer_or_have_their_first_words_later(
    clips: int, first: float, verdicts: list[str]
) -> None:
    base, beside = Measured(100.0, 100, [0.5]), Measured(100.0, clips, [first])
    found = {ALONE.name: base, SPEAKERS.name: beside, TEXT.name: base, BOTH.name: base}
    judged = [goal.judged().split()[0] for goal in beside_diarization.goals(found)]
    assert judged == [*verdicts, "met", "met"]
