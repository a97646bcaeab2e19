"""Files named by requests: no race of directories and links leads outside AUDIO_ROOT."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asr.errors import CallerError
from asr.http.local_files import open_inside
from tests.conftest import PATIENCE_SECONDS, tone, wav

TRIES = 3000  # So many times a file is opened while its directory is swapped.


def any_size(count: int) -> None:
    """Allow files of every size."""


@contextlib.contextmanager
def swapping(root: Path) -> Iterator[None]:
    """Swap the directory `inner` for a link that leads outside and back, without a pause."""
    is_over = threading.Event()

    def swap() -> None:
        while not is_over.is_set():
            (root / "inner").rename(root / "held")
            (root / "inner").symlink_to(root.parent / "beside")
            (root / "inner").unlink()
            (root / "held").rename(root / "inner")
            time.sleep(0)  # so that others find the directory, too

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def test_a_directory_that_is_swapped_for_a_link_is_never_read_outside(tmp_path: Path) -> None:
    for place, content in (("root/inner", b"inside"), ("beside", b"outside")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.wav").write_bytes(content)
    seen: Counter[bytes | str] = Counter()
    with swapping(tmp_path / "root"):
        while seen.total() < TRIES or (not seen[b"inside"] and seen.total() < 20 * TRIES):
            try:
                with open_inside(tmp_path / "root", "inner/a.wav", any_size) as file:
                    seen[file.read()] += 1
            except CallerError:
                seen["refused"] += 1
    assert seen[b"outside"] == 0
    assert seen[b"inside"] > 0
    assert seen["refused"] > 0


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


async def ask(client: Any, path: str) -> tuple[int, str]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        response = await client.post("/asr", json={"url": path})
        answer = await response.json()
        return response.status, answer.get("error", answer.get("text"))


async def test_a_file_that_is_no_audio_file_is_answered_with_the_reason(
    make_client: Any, tmp_path: Path
) -> None:
    client = await make_client(audio_root=tmp_path, max_body_mb=64)
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        sparse(tmp_path / "sparse", 2**40)
        sparse(tmp_path / "zeros", 48 * 2**20)
        (tmp_path / "empty").touch()
        (tmp_path / "process").symlink_to("/proc/self")
        expected = {
            "pipe": (403, "is not a regular file"),
            "socket": (403, "cannot be read"),
            "sparse": (413, "MAX_BODY_MB=64"),
            "zeros": (400, "cannot be decoded"),
            "empty": (400, "cannot be decoded"),
            "process/environ": (403, "outside AUDIO_ROOT"),
            "process/fd/0": (403, "outside AUDIO_ROOT"),
        }
        for path, (status, reason) in expected.items():
            found, message = await ask(client, path)
            assert found == status, (path, message)
            assert reason in message, (path, message)


@pytest.mark.parametrize(
    ("size", "status", "answer"),  # bytes that are left of 96 kB
    [
        (0, 400, "cannot be decoded"),
        (1, 400, "cannot be decoded"),
        (100, 200, " 0.00 s"),
        (32_000, 200, " 1.00 s"),
    ],
)
async def test_a_file_that_is_cut_after_it_was_opened_is_read_as_far_as_it_goes(
    make_client: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    status: int,
    answer: str,
) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(wav(tone(3.0)))
    client = await make_client(audio_root=tmp_path)
    monkeypatch.setattr("asr.http.sources.open_inside", then(lambda: os.truncate(file, size)))
    found, message = await ask(client, "a.wav")
    assert (found, answer in message) == (status, True), message


async def test_a_file_that_grows_is_answered(
    make_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(wav(tone(3.0)))
    client = await make_client(audio_root=tmp_path)

    def grow() -> None:
        with file.open("ab") as end:
            end.write(bytes(2**20))

    monkeypatch.setattr("asr.http.sources.open_inside", then(grow))
    assert await ask(client, "a.wav") == (200, " 3.00 s")


async def test_a_file_that_is_deleted_after_it_was_opened_is_read(
    make_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(wav(tone(3.0)))
    client = await make_client(audio_root=tmp_path)
    monkeypatch.setattr("asr.http.sources.open_inside", then(file.unlink))
    assert await ask(client, "a.wav") == (200, " 3.00 s")


def then(change: Any) -> Any:
    """Open as ever, and make `change` before anything is read."""

    def opened(*asked: Any) -> Any:
        file = open_inside(*asked)
        change()
        return file

    return opened
