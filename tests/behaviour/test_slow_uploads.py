"""Uploads that take their time, at a real process: what they count for in the queue."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import tone, wav
from tests.support.processes import Controlled, controlled, post, until

IDLE = 130


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Controlled]:
    with controlled(tmp_path, MAX_QUEUE_SECONDS="180") as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@contextlib.contextmanager
def uploading(server: Controlled, announced: int, data: bytes) -> Iterator[socket.socket]:
    """A caller who has sent `data` of the bytes that it announced."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as caller:
        head = f"POST /asr HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n"
        caller.sendall(head.encode() + data)
        yield caller


def test_a_hundred_idle_uploads_keep_nobody_out(server: Controlled) -> None:
    speech = wav(tone(2.0))
    with contextlib.ExitStack() as idle:
        for _ in range(IDLE):
            idle.enter_context(uploading(server, len(speech), speech[:1000]))
        until(lambda: server.metric("asr_queue_audio_seconds") == IDLE)
        status, answer = post(server, speech)
        assert (status, answer["text"]) == (200, " 2.00 s")
    until(lambda: server.metric("asr_queue_audio_seconds") == 0)


def test_an_upload_counts_for_what_is_decoded_of_it_and_not_transcribed(server: Controlled) -> None:
    speech = wav(tone(60.0))
    with uploading(server, len(speech), speech[: len(speech) * 40 // 60]):
        until(lambda: len(server.transcribed()) == 1)  # 30 s of 40
        until(lambda: 7 < server.metric("asr_queue_audio_seconds") < 11)
