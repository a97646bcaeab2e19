"""ffmpeg starts and ends with its reader, opens its input alone, and mixes any channels."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import psutil
import pytest

from asr.audio.decoder import Decoder
from asr.audio.ffmpeg import ffmpeg_command
from asr.audio.ffmpeg_process import NICENESS
from tests.conftest import RATE, tone, wav
from tests.support.processes import living_children
from tests.support.sounds import (
    FORMATS,
    assert_is_the_sweep,
    decoded,
    encoded,
    ffmpeg,
    stream,
)


def children() -> list[psutil.Process]:
    return living_children(os.getpid())


@pytest.mark.parametrize("name", ["speech.mp3", "index-at-end.m4a"])
async def test_who_stops_reading_leaves_no_decoder_behind(decoder: Decoder, name: str) -> None:
    before = children()
    data = ffmpeg("-stream_loop", "200", "-i", "sweep.wav", *FORMATS[name].split(), name=name)
    for _ in range(3):
        blocks = decoder.blocks(stream(data))
        await anext(blocks)
        assert len(set(children()) - set(before)) == 1
        await blocks.aclose()
        assert set(children()) <= set(before)


async def test_decoders_start_one_at_a_time(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting, most = 0, 0
    start = asyncio.create_subprocess_exec

    async def counted(*command: str, **settings: Any) -> asyncio.subprocess.Process:
        nonlocal starting, most
        starting += 1
        most = max(most, starting)
        process = await start(*command, **settings)
        starting -= 1
        return process

    monkeypatch.setattr("asyncio.create_subprocess_exec", counted)
    clips = [decoded(decoder, stream(encoded("opus.ogg"))) for _ in range(4)]
    for samples in await asyncio.gather(*clips):
        assert_is_the_sweep(samples)
    assert most == 1


async def test_a_decoder_lets_the_server_run_first(decoder: Decoder) -> None:
    before = children()
    async with contextlib.aclosing(decoder.blocks(stream(encoded("raw.aac") * 50))) as blocks:
        await anext(blocks)
        [child] = set(children()) - set(before)
        assert child.nice() == psutil.Process().nice() + NICENESS


async def test_a_cancelled_reader_leaves_no_decoder_behind(decoder: Decoder) -> None:
    before = children()
    started = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield encoded("raw.aac") * 4
        started.set()
        await asyncio.Event().wait()

    reader = asyncio.create_task(decoded(decoder, stalls()))
    await started.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert set(children()) <= set(before)


def test_the_decoder_may_open_nothing_but_its_input() -> None:
    command = ffmpeg_command("ffmpeg", "pipe:0")
    formats = command[command.index("-format_whitelist") + 1].split(",")
    assert not {"hls", "concat", "dash", "sdp", "image2", "lavfi", "tee"} & set(formats)
    assert command[command.index("-protocol_whitelist") + 1] == "pipe,file"


@pytest.mark.parametrize("count", [9, 10, 16, 24, 33])
@pytest.mark.parametrize("rate", [16_000, 44_100])
async def test_more_channels_than_have_names_are_mixed(
    decoder: Decoder, count: int, rate: int
) -> None:
    channels = np.zeros((2 * rate, count), np.float32)
    channels[:, 0], channels[:, -1] = tone(2.0, rate), tone(2.0, rate, 660.0)
    mixed = await decoded(decoder, stream(wav(channels, rate)))
    assert len(mixed) == 2 * RATE
    mean = (tone(2.0) + tone(2.0, hertz=660.0)) / count
    assert np.abs(mixed - mean)[800:-800].max() <= 1e-3


async def test_of_many_channels_those_that_oppose_the_others_do_not_cancel_them(
    decoder: Decoder,
) -> None:
    channels = np.stack([tone(2.0) * (-1) ** number for number in range(10)], axis=1)
    mixed = await decoded(decoder, stream(wav(channels)))
    assert np.abs(np.abs(mixed) - np.abs(tone(2.0)))[800:].max() <= 1e-3
