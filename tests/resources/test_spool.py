"""Temporary files are written whole; a disk that fails is named, with its remedy."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from asr.errors import Failure, OutOfResources, StorageFailed, StorageFull
from asr.resources import spool
from asr.resources.spool import MEMORY_BYTES, Spool, SpoolCheck
from tests.conftest import eventually

FULL, READ_ONLY, TOO_MANY = errno.ENOSPC, errno.EROFS, errno.EMFILE
write = os.pwrite


def failing(number: int) -> Callable[..., Any]:
    def fail(*arguments: Any, **settings: Any) -> None:  # noqa: ARG001
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function after whose call files on disk have room for so many bytes each."""

    def fill(room: int) -> None:
        def limited(file: int, data: bytes, place: int) -> int:
            on_disk = "memfd" not in str(Path(f"/proc/self/fd/{file}").readlink())
            if on_disk and place >= room:
                failing(FULL)()
            return write(file, data[: room - place] if on_disk else data, place)

        monkeypatch.setattr("os.pwrite", limited)

    return fill


def content(file: Any) -> bytes:
    file.seek(0)
    return bytes(file.read())


def test_what_is_written_is_there_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Spool() as stored:
        stored.write(b"some ")
        stored.write(bytearray(b"bytes"))
        assert content(stored.file) == b"some bytes"
        assert list(tmp_path.iterdir()) == []
    assert stored.file.closed


def test_what_the_system_writes_in_pieces_is_written_whole(monkeypatch):
    monkeypatch.setattr("os.pwrite", lambda file, data, place: write(file, data[:3], place))
    with Spool() as stored:
        stored.write(b"some bytes")
        assert content(stored.file) == b"some bytes"


@pytest.mark.parametrize("room", [0, 3, 7])
def test_few_bytes_are_kept_in_memory_where_the_disk_is_full(full_disk, room):
    full_disk(room)
    with Spool() as stored:
        for data in (b"some ", b"more ", b"bytes"):
            stored.write(data)
        assert content(stored.file) == b"some more bytes"


def test_more_bytes_than_memory_is_for_are_refused_where_the_disk_is_full(full_disk):
    full_disk(MEMORY_BYTES // 2)
    with Spool() as stored:
        stored.write(bytes(MEMORY_BYTES))
        with pytest.raises(StorageFull, match="set TMPDIR on the server") as refused:
            stored.write(b"\0")
    failure = Failure.of(refused.value)
    assert (failure.status, failure.code) == (507, "storage_full")
    assert f"TMPDIR={tempfile.gettempdir()}" in failure.message


def test_a_disk_that_becomes_full_after_many_bytes_is_named(full_disk):
    full_disk(2 * MEMORY_BYTES)
    with Spool() as stored:
        stored.write(bytes(2 * MEMORY_BYTES))
        with pytest.raises(StorageFull):
            stored.write(b"\0")


@pytest.mark.parametrize("number", [READ_ONLY, errno.EACCES, errno.ENOENT, errno.EIO])
def test_where_no_file_can_be_created_few_bytes_are_kept_in_memory(monkeypatch, number):
    monkeypatch.setattr("asr.resources.spool.tempfile.TemporaryFile", failing(number))
    with Spool() as stored:
        stored.write(b"some bytes")
        assert content(stored.file) == b"some bytes"
        with pytest.raises(StorageFailed, match="a directory that can be written") as refused:
            stored.write(bytes(MEMORY_BYTES))
    assert (refused.value.status, refused.value.code) == (503, "storage_failed")
    assert os.strerror(number).lower() in refused.value.message


def test_descriptors_that_have_run_out_are_worth_another_try(monkeypatch):
    monkeypatch.setattr("asr.resources.spool.tempfile.TemporaryFile", failing(TOO_MANY))
    with pytest.raises(OutOfResources, match="too many open files"):
        Spool()


def test_no_descriptor_is_left_open(full_disk, monkeypatch):
    before = psutil.Process().num_fds()
    full_disk(3)
    with Spool() as stored:
        stored.write(b"some bytes")
    with Spool() as stored:
        monkeypatch.setattr("os.memfd_create", failing(TOO_MANY))
        with pytest.raises(OutOfResources):
            stored.write(b"some bytes")
    assert psutil.Process().num_fds() == before


async def test_the_check_tells_that_the_disk_is_full_and_that_it_has_room_again(full_disk):
    check = SpoolCheck(seconds=0.0)
    assert check.problem() is None
    full_disk(0)
    await eventually(lambda: "is full" in (check.problem() or ""))
    full_disk(2**30)
    await eventually(lambda: check.problem() is None)
    await check.aclose()


async def test_a_disk_that_does_not_answer_is_told_and_not_waited_for(monkeypatch):
    goes_on = threading.Event()
    monkeypatch.setattr("asr.resources.spool.opened", lambda: goes_on.wait() and failing(FULL)())
    monkeypatch.setattr(spool, "SILENT_SECONDS", 0.0)
    check = SpoolCheck()
    assert check.problem() is None
    assert "does not answer" in (check.problem() or "")
    goes_on.set()
    await check.aclose()
