"""Compressed bodies: gzip and deflate are inflated within bounds, others are refused."""

from __future__ import annotations

import gzip
import threading
import zlib
from typing import Any

import pytest

from asr.errors import BadRequest, TooLarge
from asr.http.bodies import compression
from asr.http.bodies.compression import Inflater
from tests.conftest import tone, wav
from tests.support.forms import form as openai_form
from tests.support.sounds import stream

WAV = wav(tone(2.0))
RAW_DEFLATE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
PACKED = {
    "gzip": ("gzip", gzip.compress(WAV)),
    "x-gzip": ("x-gzip", gzip.compress(WAV)),
    "capitals": ("GZip", gzip.compress(WAV)),
    "two members": ("gzip", gzip.compress(WAV[:1000]) + gzip.compress(WAV[1000:])),
    "padding": ("gzip", gzip.compress(WAV) + bytes(512)),
    "deflate": ("deflate", zlib.compress(WAV)),
    "deflate without a head": ("deflate", RAW_DEFLATE.compress(WAV) + RAW_DEFLATE.flush()),
    "identity": ("identity", WAV),
}


async def post(client: Any, data: Any, encoding: str, **headers: str) -> tuple[int, str]:
    headers = {"Content-Encoding": encoding, **headers}
    response = await client.post("/asr", data=data, headers=headers)
    answer = await response.json()
    return response.status, answer.get("text", answer.get("error"))


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("size", [1, 4096])  # bytes that arrive at once
async def test_compressed_audio_is_transcribed(client: Any, name: str, size: int) -> None:
    encoding, data = PACKED[name]
    assert await post(client, stream(data, size), encoding) == (200, " 2.00 s")


async def test_a_compressed_json_object_is_read(client: Any) -> None:
    data = gzip.compress(b'{"url": "data:,"}')
    status, error = await post(client, data, "gzip", **{"Content-Type": "application/json"})
    assert (status, "audio" in error) == (400, True)


CUT = {
    "gzip": gzip.compress(WAV)[:-1],
    "gzip, by half": gzip.compress(WAV)[:1000],
    "second member": gzip.compress(WAV) + gzip.compress(WAV)[:15],
    "head of a second member": gzip.compress(WAV) + b"\x1f",
    "empty": b"",
}


@pytest.mark.parametrize("name", CUT)
async def test_a_body_that_was_cut_off_is_the_callers_mistake(client: Any, name: str) -> None:
    status, error = await post(client, stream(CUT[name]), "gzip")
    assert (status, "cut off" in error and "send it again" in error) == (400, True)


async def test_deflate_that_was_cut_off_is_the_callers_mistake(client: Any) -> None:
    assert (await post(client, zlib.compress(WAV)[:-1], "deflate"))[0] == 400


DAMAGED = {
    "no gzip": b"no gzip at all",
    "a wrong checksum": gzip.compress(WAV)[:-8] + bytes(8),
    "other bytes behind": gzip.compress(WAV) + b"other",
}


@pytest.mark.parametrize("name", DAMAGED)
async def test_a_damaged_body_is_the_callers_mistake(client: Any, name: str) -> None:
    status, error = await post(client, DAMAGED[name], "gzip")
    assert (status, "is damaged" in error and "uncompressed" in error) == (400, True)


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "rot13", "gzip, gzip", "gzip, br"])
@pytest.mark.parametrize("path", ["/asr", "/v1/audio/transcriptions", "/detect-language"])
async def test_other_encodings_are_refused_with_those_that_are_read(
    client: Any, encoding: str, path: str
) -> None:
    headers = {"Content-Encoding": encoding}
    data = openai_form() if path.startswith("/v1") else WAV
    response = await client.post(path, data=data, headers=headers)
    error = await response.text()
    assert response.status == 415
    assert "gzip" in error
    assert "deflate" in error
    assert "uncompressed" in error


@pytest.mark.parametrize("path", ["/asr", "/v1/audio/transcriptions"])
async def test_a_compressed_form_is_refused(client: Any, path: str) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "multipart/form-data; boundary=b"}
    response = await client.post(path, data=gzip.compress(b"--b--\r\n"), headers=headers)
    assert response.status == 415
    assert "send it uncompressed" in await response.text()


async def test_a_compressed_url_form_is_refused(client: Any) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, error = await post(client, gzip.compress(b"url=data:,"), "gzip", **kind)
    assert (status, "send it uncompressed" in error) == (415, True)


async def test_the_limit_of_bytes_is_that_of_what_was_inflated(make_client: Any) -> None:
    client = await make_client(max_body_mb=1 / 32)
    assert len(gzip.compress(WAV)) < 2**15 < len(WAV)
    status, error = await post(client, gzip.compress(WAV), "gzip")
    assert (status, "MAX_BODY_MB=0.03125" in error) == (413, True)


def inflated(data: bytes, encoding: str = "gzip") -> list[bytes]:
    inflater, parts = Inflater(encoding), []
    while part := inflater.push(data):
        parts.append(part)
        data = b""
    inflater.finish()
    return parts


def test_a_body_that_inflates_to_far_more_is_refused() -> None:
    assert sum(map(len, inflated(gzip.compress(bytes(2**24 - 2**18))))) == 2**24 - 2**18
    with pytest.raises(TooLarge, match="100 times its size: send it uncompressed"):
        inflated(gzip.compress(bytes(2**26)))


def test_no_call_returns_more_than_a_little() -> None:
    parts = inflated(gzip.compress(bytes(2**20) + WAV))
    assert b"".join(parts) == bytes(2**20) + WAV
    assert max(map(len, parts)) <= compression.INFLATED_BYTES


def test_a_body_is_inflated_whole_however_it_is_cut() -> None:
    data = gzip.compress(WAV[:5000]) + gzip.compress(b"") + gzip.compress(WAV[5000:]) + b"\0\0"
    for size in (1, 7, 100, len(data)):
        inflater, found = Inflater("gzip"), bytearray()
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            while part := inflater.push(piece):
                found += part
                piece = b""
        inflater.finish()
        assert found == WAV


def test_nothing_may_follow_deflate() -> None:
    with pytest.raises(BadRequest, match="other bytes follow"):
        inflated(zlib.compress(WAV) + b"more", "deflate")


async def test_bodies_are_inflated_off_the_event_loop(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    push = Inflater.push

    def pushed(inflater: Inflater, data: bytes) -> bytes:
        threads.append(threading.current_thread())
        return push(inflater, data)

    monkeypatch.setattr(Inflater, "push", pushed)
    assert (await post(client, gzip.compress(WAV), "gzip"))[0] == 200
    assert threads
    assert threading.main_thread() not in threads
