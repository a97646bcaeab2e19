"""Where a request's audio comes from, within which limits."""

from __future__ import annotations

import asyncio
import contextlib
import io
import tempfile
from collections.abc import AsyncIterator
from typing import Any, BinaryIO

import pytest
from aiohttp import FormData

from asr.concurrency import WaitBudget
from tests.conftest import eventually, tone, wav
from tests.support.clock import Clock
from tests.support.fake_engine import FakeEngine
from tests.support.sounds import encoded, stream

WAV = wav(tone(2.0))


async def text(response: Any) -> str:
    assert response.status == 200, await response.text()
    found: str = (await response.json())["text"]
    return found


async def error(response: Any, status: int) -> str:
    assert response.status == status, await response.text()
    found: str = (await response.json())["error"]
    return found


def form(data: bytes, **fields: str) -> FormData:
    form = FormData(fields)
    form.add_field("file", io.BytesIO(data), filename="a.wav")
    return form


async def test_every_door_leads_to_the_same_text(make_client: Any, tmp_path: Any) -> None:
    (tmp_path / "a.wav").write_bytes(WAV)
    client = await make_client(audio_root=tmp_path)
    assert await text(await client.post("/asr", data=WAV)) == " 2.00 s"
    assert await text(await client.post("/asr", data=stream(WAV))) == " 2.00 s"
    assert await text(await client.post("/asr", data=form(WAV, language="en"))) == " 2.00 s"
    assert await text(await client.post("/asr", json={"url": "a.wav"})) == " 2.00 s"
    assert await text(await client.post("/asr", params={"url": "a.wav"})) == " 2.00 s"
    assert await text(await client.post("/asr", data={"url": "a.wav"})) == " 2.00 s"


@pytest.mark.parametrize("door", ["announced", "streamed", "form", "streamed form"])
async def test_the_byte_limit_holds_at_every_door(make_client: Any, door: str) -> None:
    client = await make_client(max_body_mb=1 / 32)
    data: Any = {
        "announced": WAV,
        "streamed": stream(WAV),
        "form": form(WAV),
        "streamed form": form(WAV)(),
    }[door]
    assert "MAX_BODY_MB=0.03125" in await error(await client.post("/asr", data=data), 413)


async def test_an_endless_body_is_refused_while_it_arrives(make_client: Any) -> None:
    client = await make_client(max_body_mb=1)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield WAV
        while sent < 2**30:
            sent += 65_536
            yield bytes(65_536)
            await asyncio.sleep(0)

    response = await client.post("/asr", data=endless())
    assert "MAX_BODY_MB=1" in await error(response, 413)
    assert sent < 2**30


@pytest.mark.parametrize("door", ["body", "form"])
async def test_a_body_that_stalls_is_given_up(make_client: Any, door: str) -> None:
    client = await make_client(body_timeout_s=0.3)
    is_given_up = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        if door == "form":
            yield b'--e\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        yield encoded("speech.mp3")[:5000]
        await is_given_up.wait()

    kind = "multipart/form-data; boundary=e" if door == "form" else "audio/mpeg"
    response = await client.post("/asr", data=stalls(), headers={"Content-Type": kind})
    assert "BODY_TIMEOUT_S=0.3" in await error(response, 408)
    is_given_up.set()


class Watched(WaitBudget):
    """Tells whether anybody waits for bytes."""

    waits = 0

    @contextlib.asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        async with super().waiting():
            Watched.waits += 1
            try:
                yield
            finally:
                Watched.waits -= 1


@pytest.mark.parametrize("name", ["wav", "mp3"])
async def test_a_busy_model_does_not_use_up_the_callers_time(
    make_client: Any, engine: FakeEngine, clock: Clock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("asr.http.sources.WaitBudget", Watched)
    for store in ("MEMORY_BYTES", "FILE_BYTES"):  # full, so that the caller has to wait
        monkeypatch.setattr(f"asr.audio.buffer.{store}", 2**16)
    client = await make_client(body_timeout_s=20)
    engine.gate.clear()
    data = wav(tone(600)) if name == "wav" else encoded("ten-minutes.mp3")
    asked = asyncio.create_task(client.post("/asr", data=io.BytesIO(data)))
    await eventually(lambda: engine.steps and not Watched.waits)
    clock.advance(60)
    engine.gate.set()
    written = await text(await asked)
    assert written.count(" s") > 15


async def test_a_large_upload_lies_in_a_file(
    make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[BinaryIO] = []
    make = tempfile.TemporaryFile

    def made(**how: Any) -> BinaryIO:
        files.append(make(**how))
        return files[-1]

    client = await make_client()
    monkeypatch.setattr("asr.resources.spool.tempfile.TemporaryFile", made)
    assert await text(await client.post("/asr", data=form(WAV))) == " 2.00 s"
    assert files == []
    monkeypatch.setattr("asr.http.bodies.multipart.IN_MEMORY_BYTES", 1000)
    assert await text(await client.post("/asr", data=form(WAV))) == " 2.00 s"
    assert await text(await client.post("/asr", data=form(encoded("index-at-end.m4a"))))
    assert [file.closed for file in files] == [True, True]


async def test_the_last_of_several_values_counts_and_a_second_file_is_refused(
    make_client: Any,
) -> None:
    client = await make_client()
    twice = form(WAV)
    twice.add_field("file", io.BytesIO(WAV), filename="b.wav")
    assert "file" in await error(await client.post("/asr", data=twice), 400)
