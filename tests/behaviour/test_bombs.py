"""Small input that unpacks to a lot: refused or bounded, and the server stays well."""

from __future__ import annotations

import json
import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.conftest import tone, wav
from tests.hardening.test_event_loop import HOLD_SECONDS
from tests.support.processes import (
    Controlled,
    controlled,
    get,
    longest_hold,
    post,
    processor_seconds,
    until,
)
from tests.support.sounds import ffmpeg

EXTRA_BYTES = 256 * 2**20  # that one request may cost at its peak
LIMIT_SECONDS = 600


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    limits = {"MAX_AUDIO_SECONDS": str(LIMIT_SECONDS), "MAX_BODY_MB": "64"}
    with controlled(tmp_path_factory.mktemp("bombs"), **limits) as server:
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


def answer_to(server: Controlled, body: bytes, **headers: str) -> tuple[int, str]:
    """The status, and the text or the error."""
    status, content = post(server, body, headers)
    return status, str(content.get("error", content.get("text")))


class Peak:
    """The most memory that the server and its children hold while the block runs."""

    def __init__(self, server: Controlled) -> None:
        self._process = psutil.Process(server.process.pid)
        self._server = server
        self._is_over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self.bytes = 0

    def __enter__(self) -> Peak:
        self._before = self._process.memory_info().rss
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._watcher.join()

    @property
    def extra(self) -> int:
        return self.bytes - self._before

    def _watch(self) -> None:
        while not self._is_over.wait(0.05):
            total = self._process.memory_info().rss
            for child in self._server.children():
                try:
                    total += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.bytes = max(self.bytes, total)


def assert_well(server: Controlled) -> None:
    until(lambda: server.children() == [] and server.metric("asr_queue_audio_seconds") == 0)
    assert server.temporary_files() == []
    assert answer_to(server, wav(tone(1.0))) == (200, " 1.00 s")


def low_bitrate_opus() -> bytes:
    """25 MiB at 6 kbit/s, more than eight hours: one minute, over and over."""
    minute = ffmpeg(
        "-stream_loop", "19", "-i", "sweep.wav", "-c:a", "libopus", "-b:a", "6k", "-ac", "1",
        name="minute.opus",
    )  # fmt: skip
    return minute * (25 * 2**20 // len(minute))


def test_hours_of_opus_in_25_mib_are_refused_three_at_once(target: Controlled) -> None:
    bomb = low_bitrate_opus()
    assert len(bomb) > 24 * 2**20
    with Peak(target) as peak, ThreadPoolExecutor(3) as callers:
        before = processor_seconds(target)
        answers = list(callers.map(lambda _: answer_to(target, bomb), range(3)))
    for status, message in answers:
        assert status == 413
        assert f"MAX_AUDIO_SECONDS={LIMIT_SECONDS}" in message
    assert peak.extra < 3 * EXTRA_BYTES
    assert_well(target)  # no child is left: all that they computed is counted
    assert processor_seconds(target) - before < 60


def test_the_most_a_flac_header_can_claim_is_bounded(target: Controlled) -> None:
    data = ffmpeg("-i", "sweep.wav", "-ar", "655350", "-ac", "8", name="a.flac")
    assert len(data) > 2**20
    with Peak(target) as peak:
        assert post(target, data)[0] in {200, 400}
        assert post(target, data[: 2**19])[0] in {200, 400}
    assert peak.extra < EXTRA_BYTES
    assert_well(target)


@pytest.mark.parametrize("channels", [9, 64, 1000, 65_535])
def test_many_channels_are_bounded(target: Controlled, channels: int) -> None:
    rate, align = 16_000, 2 * channels & 0xFFFF
    data = bytes(min(2 * channels * rate, 2**24))
    head = struct.pack("<HHIIHH", 1, channels, rate, rate * align & 0xFFFFFFFF, align, 16)
    body = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + head + b"data\xff\xff\xff\xff" + data
    with Peak(target) as peak:
        assert post(target, body)[0] in {200, 400}
    assert peak.extra < EXTRA_BYTES
    assert_well(target)


def zipped(head: bytes, megabytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(head)]
    parts += [packer.compress(bytes(2**20)) for _ in range(megabytes)]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize("kind", ["wav", "nothing", "object", "form", "white space"])
def test_a_body_that_unpacks_a_thousandfold_is_refused(target: Controlled, kind: str) -> None:
    heads = {
        "wav": (wav(tone(0.1))[:40] + b"\xff\xff\xff\xff", ""),
        "nothing": (b"", ""),
        "object": (b'{"url": "', "application/json"),
        "form": (
            b'--e\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
            "multipart/form-data; boundary=e",
        ),
        "white space": (b" ", "application/json"),
    }
    head, content_type = heads[kind]
    bomb = zipped(head, 512)
    assert len(bomb) < 2**20
    headers = {"Content-Encoding": "gzip", "Content-Type": content_type or "audio/wav"}
    with Peak(target) as peak:
        before = processor_seconds(target)
        status, message = answer_to(target, bomb, **headers)
    assert status in ({415} if kind == "form" else {400, 413}), message
    assert peak.extra < EXTRA_BYTES
    assert_well(target)
    assert processor_seconds(target) - before < 30


def test_a_long_path_or_url_does_not_hold_the_loop(target: Controlled) -> None:
    for url in ("a/" * 2**21, "http://h/" + "a" * 2**22, "data:," + "%41" * 2**21, "x" * 2**22):
        with ThreadPoolExecutor(1) as callers:
            longest_hold(target)
            asked = callers.submit(post, target, json.dumps({"url": url}).encode())
            while not asked.done():
                assert get(target, "/hc")[0] == 200
            assert 400 <= asked.result()[0] < 500
        held = longest_hold(target).held
        assert held < HOLD_SECONDS, f"held for {held * 1000:.0f} ms"
