"""The moment of the first words is taken from what curl prints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from asr.config.config import DEMO_MODEL
from benchmark.demo import DemoFailed
from benchmark.load import first_words
from benchmark.load.first_words import Streamed
from tests.conftest import Server

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def test_first_words_come_before_the_last(server: Server) -> None:
    audio = DEMO_MODEL.parent / "samples" / "en-several.flac"
    found = first_words.stream(server.url, audio, ("file", "stream"))
    assert 0 < found.first <= found.whole
    assert found.deltas >= 2
    assert found.words > 20


def test_a_stream_that_ends_without_its_end_has_failed(server: Server, tmp_path: Path) -> None:
    audio = tmp_path / "a.wav"
    audio.write_bytes(b"no audio")
    with pytest.raises(DemoFailed, match="cannot be decoded"):
        first_words.stream(server.url, audio, ("stream", "file"))


def test_words_that_come_late_miss_the_goal() -> None:
    late, early = Streamed(1.0, 10.0, 3, 9), Streamed(0.3, 10.0, 3, 9)
    lines = first_words.table({"late": late, "early": early}).splitlines()
    assert "10.0 | MISSED" in " ".join(lines[2].split())
    assert "3.0 | met" in " ".join(lines[3].split())
