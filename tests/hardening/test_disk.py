"""A real server whose disk is full or read-only says so, and serves what fits into memory."""

from __future__ import annotations

import contextlib
import resource
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import tone, wav
from tests.support.processes import Controlled, controlled, get, post, until
from tests.support.sounds import encoded

LARGE = 20 * 2**20  # A form's file of so many bytes is stored on disk.
ROOM = 2**19  # The small disks have so many bytes.


def form(data: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return head + data + b"\r\n--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


def large_m4a() -> bytes:
    """Begin as a file whose index comes last does, which is stored before it is decoded."""
    return struct.pack(">I4s8sI4s", 16, b"ftyp", b"M4A ", LARGE, b"mdat") + bytes(LARGE)


def assert_small_uploads_work(server: Controlled) -> None:
    for name in ("pcm16.wav", "opus.ogg", "index-at-end.m4a"):
        assert post(server, encoded(name))[0] == 200, name
        assert post(server, *form(encoded(name)))[0] == 200, name


def assert_large_ones_are_refused(server: Controlled, status: int, reason: str) -> None:
    for body in ((large_m4a(), {}), form(bytes(LARGE))):
        found, answer = post(server, *body)
        assert (found, "TMPDIR" in str(answer["error"])) == (status, True), answer
        assert reason in str(answer["error"])


def assert_hc_warns(server: Controlled, reason: str) -> None:
    until(lambda: "warnings" in get(server, "/hc")[1])
    status, answer = get(server, "/hc")
    assert (status, answer["status"]) == (200, "ok")
    assert reason in str(answer["warnings"])


def test_a_file_that_may_not_grow_is_a_507_that_names_the_remedy(tmp_path: Path) -> None:
    with controlled(tmp_path) as server:
        assert "warnings" not in get(server, "/hc")[1]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (ROOM, ROOM))
        assert_large_ones_are_refused(server, 507, "file too large")
        assert post(server, encoded("pcm16.wav"))[0] == 200
        long = wav(tone(120.0))
        assert post(server, long)[0] == 200  # it is read as fast as it is transcribed
        until(lambda: not server.temporary_files())


@contextlib.contextmanager
def mounted(directory: Path, options: str) -> Iterator[Path]:
    """Mount a small disk in memory; skip the test where that is not permitted."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(directory)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a tmpfs cannot be mounted here: {getattr(error, 'stderr', error)!r}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True, timeout=30)


def test_a_full_and_a_read_only_disk_are_told_and_small_uploads_still_work(tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "disk", f"size={ROOM}") as disk,
        controlled(tmp_path, TMPDIR=str(disk)) as server,
    ):
        (disk / "others").write_bytes(bytes(ROOM))
        assert_small_uploads_work(server)
        assert post(server, encoded("raw.aac") * 100)[0] == 200  # more than is kept in memory
        assert_large_ones_are_refused(server, 507, "no space left on device")
        assert_hc_warns(server, "is full")
        (disk / "others").unlink()
        until(lambda: "warnings" not in get(server, "/hc")[1])
        remount = ["mount", "-o", "remount,ro", str(disk)]
        subprocess.run(remount, check=True, timeout=30)
        assert_small_uploads_work(server)
        assert_large_ones_are_refused(server, 503, "read-only file system")
        assert_hc_warns(server, "read-only")
        until(lambda: not server.temporary_files())
