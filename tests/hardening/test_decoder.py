"""A real server whose ffmpeg is killed, hangs, is missing or cannot be started says so."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import resource
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import PATIENCE_SECONDS
from tests.support import faults
from tests.support.faults import program
from tests.support.processes import Controlled, ask, controlled, get, post, until
from tests.support.sounds import FFMPEG, LONG, encoded, ffmpeg, stream

CALLERS = 60
MORE_FILES = 40  # The server may open so many more files than at its start.


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    """Run a server whose ffmpeg hangs while there is a file `hangs`."""
    directory = tmp_path_factory.mktemp("server")
    place = directory / "bin"
    program(place, f"if [ -e {directory}/hangs ]; then {faults.SLEEPS}; fi; {faults.REAL}")
    with controlled(directory, PATH=f"{place}:/usr/bin:/bin", DECODERS="1") as running:
        yield running


@contextlib.contextmanager
def sent(server: Controlled, path: str, body: bytes) -> Iterator[http.client.HTTPConnection]:
    """Send a request; its answer is not read yet."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request("POST", path, body)
        yield connection


@pytest.mark.parametrize("path", ["/asr", "/asr?stream=true"])
def test_a_decoder_that_is_killed_in_mid_file_is_no_answer_with_half_the_text(
    server: Controlled, path: str
) -> None:
    before = len(server.transcribed())
    server.hold(after=before + 2)
    with sent(server, path, encoded("raw.aac") * 400) as connection:
        until(lambda: len(server.transcribed()) >= before + 2)
        [child] = [child for child in server.children() if child.exe() == FFMPEG]
        child.kill()  # as the system does where memory runs out
        server.release()
        answer = connection.getresponse()
        last = json.loads(answer.read().splitlines()[-1])
    assert answer.status == (200 if "stream" in path else 500)
    assert "was killed (SIGKILL" in last["error"]
    assert last.get("type", "error") == "error"
    until(lambda: not server.children() and not server.temporary_files())
    assert post(server, encoded("opus.ogg"))[0] == 200


@pytest.mark.parametrize("path", ["/asr", "/asr?stream=true"])
def test_damaged_audio_is_answered_with_a_warning(server: Controlled, path: str) -> None:
    data = encoded("ten-minutes.mp3")
    with sent(server, path, data[: len(data) // 2]) as connection:
        answer = connection.getresponse()
        last = json.loads(answer.read().splitlines()[-1])
    assert answer.status == 200
    told = str(last["warnings"]) if "stream" in path else answer.headers["X-Warnings"]
    assert "300.0 s of 600.1 s could be decoded" in told


def test_a_hanging_decoder_keeps_nobody_out_who_needs_none(server: Controlled) -> None:
    hangs = server.control / "hangs"
    hangs.touch()
    with sent(server, "/asr", encoded("opus.ogg")):
        until(lambda: len(server.children()) > 0)
        assert post(server, encoded("pcm16.wav"))[0] == 200
    until(lambda: not server.children())
    hangs.unlink()
    assert post(server, encoded("opus.ogg"))[0] == 200


@pytest.fixture
def without_ffmpeg(tmp_path: Path) -> Iterator[Controlled]:
    (tmp_path / "ffmpeg").write_text("not executable")
    settings = {"PATH": str(tmp_path), "IMAGEIO_FFMPEG_EXE": str(tmp_path / "ffmpeg")}
    with controlled(tmp_path, **settings) as server:
        yield server


def test_without_ffmpeg_the_formats_that_are_left_are_named_and_read(
    without_ffmpeg: Controlled,
) -> None:
    server = without_ffmpeg
    formats = "wav, flac, and undamaged mp3 of up to 35 s"
    assert f"WARNING ffmpeg is not installed: only {formats}" in server.log.read_text()
    assert get(server, "/hc")[0] == 200
    for name in ("opus.ogg", "sound.webm", "index-at-end.m4a", *LONG):
        status, answer = post(server, encoded(name))
        assert (status, formats in str(answer["error"])) == (415, True), (name, answer)
    long = ffmpeg("-stream_loop", "59", "-i", "sweep.wav", name="long.flac")
    assert len(long) > 2**20
    for data in (encoded("pcm16.wav"), encoded("stereo.flac"), encoded("speech.mp3"), long):
        assert post(server, data)[0] == 200


async def test_with_few_descriptors_callers_are_asked_to_come_back_and_nobody_gets_a_500(
    tmp_path: Path,
) -> None:
    data = encoded("opus.ogg")
    with controlled(tmp_path) as server:
        pid = server.process.pid
        most = server.descriptors() + MORE_FILES
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))

        async def ask_once(session: aiohttp.ClientSession) -> tuple[int, str | None]:
            async with session.post(server.url + "/asr", data=stream(data)) as answer:
                await answer.read()
                return answer.status, answer.headers.get("Retry-After")

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            answers = await asyncio.gather(*(ask_once(session) for _ in range(CALLERS)))
        assert {status for status, _ in answers} <= {200, 503}
        assert all(
            wait is not None and 5 <= int(wait) <= 8 for code, wait in answers if code == 503
        )
        assert (200, None) in answers
        until(lambda: not server.children())
        assert ask(server, "POST", "/asr", data)[0] == 200
