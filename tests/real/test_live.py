"""A real model writes a real voice while it is spoken: over the socket, with OpenAI's client."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from websockets.exceptions import ConnectionClosedError

from benchmark.accuracy import corpus
from benchmark.accuracy.scoring import errors
from benchmark.accuracy.speech_scores import of_language
from tests.behaviour.test_realtime import official, received
from tests.conftest import Server
from tests.real.speech import TRANSCRIPTIONS, post
from tests.real.test_jfk import assert_famous
from tests.support.realtime import RATE, TEXT, server_events

pytestmark = pytest.mark.real

PIECE_SECONDS = 0.1  # A microphone gives out so many seconds of sound at a time.
BREATH_SECONDS = 0.3  # So many seconds of silence are before the voice.
QUIET_SECONDS = 1.0  # So many follow it: its last utterance ends.
FROM_BATCH = 15  # Live words differ from those of the whole file by so much, per cent, at most.
TOO_BUSY = 1013  # The close code of a server that does not keep up with the audio.


def voice(audio: Path) -> bytes:
    """Return a recording as the socket takes it, with silence around it."""
    samples, rate = soundfile.read(audio, dtype="float32", always_2d=True)
    heard = soxr.resample(samples.mean(axis=1), rate, RATE)
    scaled = (np.clip(heard, -1, 1) * 32767).astype("<i2").tobytes()
    before, behind = (bytes(2 * round(s * RATE)) for s in (BREATH_SECONDS, QUIET_SECONDS))
    return before + bytes(scaled) + behind


def pieces(data: bytes) -> Iterator[str]:
    size = 2 * round(PIECE_SECONDS * RATE)
    for place in range(0, len(data), size):
        yield base64.b64encode(data[place : place + size]).decode()


async def begin(connection: Any, **more: Any) -> None:
    """Set the session to English; the other fields are those of its audio."""
    audio: Any = {"input": {"transcription": {"language": "en"}, **more}}
    await connection.session.update(session={"type": "transcription", "audio": audio})
    await received(connection, "session.updated")


async def speak(connection: Any, data: bytes, has_pace: bool) -> None:
    """Send a voice, at the pace of time as a microphone does or at once, and its end."""
    start = time.monotonic()
    for number, audio in enumerate(pieces(data), 1):
        if has_pace:
            await asyncio.sleep(start + number * PIECE_SECONDS - time.monotonic())
        await connection.input_audio_buffer.append(audio=audio)
    await connection.input_audio_buffer.clear()


async def told(connection: Any) -> list[Any]:
    """Return all events up to the text of the last utterance before a `clear`."""
    events: list[Any] = []
    waiting: set[str] = set()
    is_cleared = False
    while waiting or not is_cleared:
        event = server_events().validate_python(json.loads(await connection.recv_bytes()))
        events.append(event)
        is_cleared |= event.type == "input_audio_buffer.cleared"
        if event.type == "input_audio_buffer.committed":
            waiting.add(event.item_id)
        elif event.type in (f"{TEXT}.completed", f"{TEXT}.failed"):
            waiting.remove(event.item_id)
    return events


def texts(events: list[Any]) -> list[str]:
    """Return the text of each utterance; fail where a word that was given out did not stay."""
    given: dict[str, str] = {}
    found = []
    for event in events:
        assert event.type not in ("error", f"{TEXT}.failed"), event
        if event.type == f"{TEXT}.delta":
            given[event.item_id] = given.get(event.item_id, "") + event.delta
        elif event.type == f"{TEXT}.completed":
            assert event.transcript == given.get(event.item_id, "")
            found.append(event.transcript)
    return found


def from_batch(server: Server, written: dict[Path, str]) -> float:
    """Return how far live texts are from those of the whole files, in per cent of all words."""
    pairs = [
        (json.loads(post(server, TRANSCRIPTIONS, audio, language="en"))["text"], text)
        for audio, text in written.items()
    ]
    return errors(pairs, of_language("en")).rate


@pytest.mark.parametrize("has_pace", [True, False], ids=["at the pace of time", "at once"])
async def test_a_voice_is_written_and_nothing_is_taken_back(
    real_server: Server, jfk: Path, has_pace: bool
) -> None:
    try:
        async with official(real_server) as connection:
            await received(connection, "session.created")
            await begin(connection)
            speaking = asyncio.create_task(speak(connection, voice(jfk), has_pace))
            events = await told(connection)
            await speaking
    except ConnectionClosedError as closed:
        if not has_pace or closed.rcvd is None or closed.rcvd.code != TOO_BUSY:
            raise
        pytest.skip(f"the machine is too slow for a voice as it speaks: {closed.rcvd.reason}")
    text = "".join(texts(events))
    assert_famous(text)
    assert from_batch(real_server, {jfk: text}) <= FROM_BATCH


async def test_sentences_that_a_client_commits_are_written_as_those_of_files(
    real_server: Server, speech_folder: Path
) -> None:
    """They are sent at once: any machine is fast enough for that."""
    folder = speech_folder / "english"
    if not folder.is_dir():
        pytest.skip("SPEECH_FOLDER has no folder english")
    spoken = [one.audio for one in corpus.collect(folder)]
    async with official(real_server) as connection:
        await received(connection, "session.created")
        await begin(connection, turn_detection=None)
        for audio in spoken:
            for piece in pieces(voice(audio)):
                await connection.input_audio_buffer.append(audio=piece)
            await connection.input_audio_buffer.commit()
        await connection.input_audio_buffer.clear()
        written = texts(await told(connection))
    found = dict(zip(spoken, written, strict=True))
    assert from_batch(real_server, found) <= FROM_BATCH, found
