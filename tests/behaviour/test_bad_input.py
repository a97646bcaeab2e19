"""A corpus of broken files: always 2xx or 4xx with its reason, never slow, never lasting."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest

from tests.conftest import PATIENCE_SECONDS, tone, wav
from tests.support.sounds import encoded

WAV = wav(tone(1.0))
NOISE = random.Random(1)


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    pixels = zlib.compress(b"".join(b"\0" + bytes([row] * 64) for row in range(64)))
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.wav", WAV)
    return file.getvalue()


def odd_floats(*values: float) -> bytes:
    return wav(np.tile(np.array(values, np.float32), 4000), subtype="FLOAT")


def wave_header(**changes: int) -> bytes:
    fields = {"kind": 1, "channels": 1, "rate": 16_000, "align": 2, "bits": 16, **changes}
    speed = fields["rate"] * fields["align"] & 0xFFFFFFFF
    shape = struct.pack(
        "<HHIIHH",
        *(fields["kind"], fields["channels"], fields["rate"], speed),
        *(fields["align"], fields["bits"]),
    )
    data = bytes(8000)
    chunks = b"fmt " + struct.pack("<I", 16) + shape + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVE" + chunks + data


# Name: bytes sent as the body, and the statuses that are right for them.
CORPUS: dict[str, tuple[bytes, set[int]]] = {
    "empty": (b"", {400}),
    "one byte": (b"\0", {400}),
    "white space": (b" \n" * 500_000, {400}),
    "nulls": (bytes(500_000), {400}),
    "random": (NOISE.randbytes(50_000), {200, 400}),
    "random after RIFF": (b"RIFF" + NOISE.randbytes(50_000), {200, 400}),
    "random after fLaC": (b"fLaC" + NOISE.randbytes(50_000), {200, 400}),
    "random after OggS": (b"OggS" + NOISE.randbytes(50_000), {200, 400}),
    "random after ID3": (b"ID3\4\0\0\0\0\0\0" + NOISE.randbytes(50_000), {200, 400}),
    "random after ftyp": (b"\0\0\0\x10ftypM4A \0\0\0\0" + NOISE.randbytes(50_000), {200, 400}),
    "ones": (b"\xff" * 100_000, {200, 400}),
    "png": (png(), {400}),
    "html": (b"<!DOCTYPE html><html><body>Not Found</body></html>" * 100, {400}),
    "text": (b"The quick brown fox jumps over the lazy dog. " * 200, {400}),
    "utf-16 text": ("The quick brown fox. ".encode("utf-16") * 200, {400}),
    "xml": (b'<?xml version="1.0"?><a>' + b"<b/>" * 1000 + b"</a>", {200, 400}),
    "gzip of a wav": (gzip.compress(WAV), {400}),
    "zip of a wav": (zipped(), {400}),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n" * 50, {400}),
    "elf": (b"\x7fELF\2\1\1" + NOISE.randbytes(5000), {200, 400}),
    "header of a wav": (WAV[:44], {400}),
    "half a wav header": (WAV[:20], {400}),
    "wav without samples": (wav(tone(0)), {400}),
    "one sample": (wav(tone(1 / 16_000)), {200}),
    "ten milliseconds": (wav(tone(0.01)), {200}),
    "half a sample": (WAV + b"\0", {200}),
    "nan": (odd_floats(np.nan), {200}),
    "infinity": (odd_floats(np.inf, -np.inf), {200}),
    "huge floats": (odd_floats(3e38, -3e38), {200}),
    "denormals": (odd_floats(1e-40), {200}),
    "64-bit floats": (encoded("float64.wav"), {200}),
    "7.1": (encoded("surround.wav"), {200}),
    "192 kHz": (encoded("studio.wav"), {200}),
    "index at the end": (encoded("index-at-end.m4a"), {200}),
    "film without sound": (encoded("silent.mp4"), {400}),
    "rate 0": (wave_header(rate=0), {400}),
    "rate 1": (wave_header(rate=1), {400}),
    "rate beyond all": (wave_header(rate=2**32 - 1), {200, 400}),
    "no channels": (wave_header(channels=0), {400}),
    "65,535 channels": (wave_header(channels=65_535), {400}),
    "9 channels": (wave_header(channels=9, align=18), {200, 400}),
    "alignment 0": (wave_header(align=0), {200, 400}),
    "0 bits": (wave_header(bits=0), {200, 400}),
    "65,535 bits": (wave_header(bits=65_535), {400}),
    "unknown codec": (wave_header(kind=0x9999), {400}),
    "two files in one": (encoded("speech.mp3") + encoded("opus.ogg"), {200}),
    "junk before mp3": (NOISE.randbytes(3000) + encoded("speech.mp3"), {200, 400}),
    "junk after mp3": (encoded("speech.mp3") + NOISE.randbytes(30_000), {200}),
    "a hole in mp3": (encoded("speech.mp3")[:8000] + bytes(8000) + encoded("speech.mp3"), {200}),
    "endless mp4 box": (struct.pack(">I4sQ", 1, b"mdat", 2**63 - 1) + bytes(9000), {400}),
    "mp4 of boxes": (struct.pack(">I4s", 8, b"free") * 100_000, {400}),
}
for _name in ("pcm16.wav", "speech.mp3", "opus.ogg", "stereo.flac", "index-at-end.m4a"):
    for _tenths in range(1, 10):
        _data = encoded(_name)[: len(encoded(_name)) * _tenths // 10]
        CORPUS[f"{_name} cut at {_tenths}0 %"] = (_data, {400} if "end" in _name else {200, 400})


async def assert_fine(response: Any, statuses: set[int]) -> None:
    text = await response.text()
    assert response.status in statuses, text
    answer = json.loads(text)
    if response.status == 200:
        assert isinstance(answer["text"], str)
    else:
        assert list(answer) == ["error"]
        assert 15 < len(answer["error"]) <= 1000, "the error names cause and remedy"


async def assert_well(client: Any) -> None:
    assert (await client.get("/hc")).status == 200
    response = await client.post("/asr", data=WAV)
    assert (response.status, (await response.json())["text"]) == (200, " 1.00 s")


@pytest.mark.parametrize("name", CORPUS)
async def test_a_broken_file_is_answered_in_time_and_does_no_harm(client: Any, name: str) -> None:
    data, statuses = CORPUS[name]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await assert_fine(await client.post("/asr", data=io.BytesIO(data)), statuses)
    await assert_well(client)


@pytest.mark.parametrize("kind", ["audio/wav", "video/mp4", "text/plain", "image/png", "nonsense"])
async def test_a_wrong_type_does_not_matter(client: Any, kind: str) -> None:
    headers = {"Content-Type": kind}
    response = await client.post("/asr", data=encoded("opus.ogg"), headers=headers)
    await assert_fine(response, {200})
