"""Files of jobs are written whole or not at all, and removed."""

import asyncio
import contextlib
import os
import stat
import threading
from types import SimpleNamespace

import pytest

from asr.audio.streams import stream_of
from asr.errors import NotFound, StorageFailed, StorageFull, TooLarge
from asr.jobs.uploads import PIECE_BYTES, RESERVE_BYTES, Uploads
from tests.conftest import PATIENCE_SECONDS

FULL = "/dev/full"  # Every write to this device fails as on a full disk.
RESULT = "0" * 32 + "-1"  # The name of a very long result.


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "uploads"


@pytest.fixture(params=["directory", "bucket"])
def uploads(request, directory):
    url = (
        str(directory)
        if request.param == "directory"
        else f"memory://{directory.name}{id(request)}"
    )
    with contextlib.closing(Uploads(url)) as uploads:
        yield uploads


async def content(uploads, name):
    async with contextlib.AsyncExitStack() as stack:
        source = await uploads.open(name, stack)
        if hasattr(source, "read"):
            return source.read()
        return b"".join([data async for data in source])


async def test_what_was_written_is_read_and_removed(uploads):
    data = os.urandom(PIECE_BYTES + 10)
    name = await uploads.write(stream_of([data[:5], b"", data[5:], b"end"]))
    assert await content(uploads, name) == data + b"end"
    await uploads.put(RESULT, b"a")
    await uploads.put(RESULT, b"b")
    assert await uploads.get(RESULT) == b"b"
    assert set(await uploads.older(-60)) == {name, RESULT}
    assert await uploads.older(60) == []
    await uploads.remove(name)
    await uploads.remove(name)  # it is not there any more
    for read in (content(uploads, name), uploads.get(name)):
        with pytest.raises(NotFound, match="not there any more"):
            await read
    assert await uploads.older(-60) == [RESULT]


async def test_files_that_are_not_of_jobs_are_not_seen_as_old(uploads):
    for name in ("talk.wav", "a-1", "0" * 31, "F" * 32):
        await uploads.put(name, b"somebody's own")
    assert await uploads.older(-60) == []


async def test_a_place_without_files_has_no_old_ones(uploads):
    assert await uploads.older(0) == []


async def test_nothing_is_left_where_the_audio_fails(uploads):
    async def failing():
        yield b"x" * PIECE_BYTES
        raise TooLarge("too much")

    with pytest.raises(TooLarge):
        await uploads.write(failing())
    assert await uploads.older(-60) == []


@pytest.mark.skipif(not os.path.exists(FULL), reason=f"no {FULL}")  # noqa: PTH110
async def test_a_full_disk_is_named_and_nothing_is_left(directory, monkeypatch):
    monkeypatch.setattr("asr.jobs.uploads.open", lambda *_: open(FULL, "wb"), raising=False)  # noqa: PTH123
    with contextlib.closing(Uploads(str(directory))) as uploads:
        with pytest.raises(StorageFull, match="disk of jobs is full") as raised:
            await uploads.write(stream_of([b"x" * 100]))
        assert raised.value.status == 507
        assert list(directory.iterdir()) == []


async def test_audio_leaves_the_store_room_on_the_disk(directory, monkeypatch):
    free = iter([RESERVE_BYTES + 3 * PIECE_BYTES, RESERVE_BYTES + PIECE_BYTES - 1])
    monkeypatch.setattr(
        "asr.jobs.uploads.os.statvfs",
        lambda _: SimpleNamespace(f_bavail=next(free), f_frsize=1),
    )
    with contextlib.closing(Uploads(str(directory))) as uploads:
        with pytest.raises(StorageFull, match="disk of jobs is full"):
            await uploads.write(stream_of([b"x" * PIECE_BYTES] * 3))
        assert next(free, None) is None
        assert list(directory.iterdir()) == []


async def test_what_cannot_be_reached_is_a_failure_of_ours(tmp_path):
    (tmp_path / "file").touch()
    with (
        contextlib.closing(Uploads(str(tmp_path / "file"))) as uploads,
        pytest.raises(StorageFailed, match="file exists"),
    ):
        await uploads.put("name", b"")


async def test_a_bucket_that_is_missing_is_a_failure_of_ours(uploads, monkeypatch):
    def missing(_):
        raise FileNotFoundError("The specified bucket does not exist")

    monkeypatch.setattr(uploads, "_created", missing)
    with pytest.raises(StorageFailed, match="set UPLOADS_URL") as raised:
        await uploads.write(stream_of([b"x"]))
    assert raised.value.status == 503
    with pytest.raises(StorageFailed):
        await uploads.put("a" * 32, b"x")


@pytest.mark.parametrize("way", ["_opened", "_created"])
async def test_a_file_is_closed_whose_caller_is_cancelled_while_it_is_opened(
    directory, monkeypatch, way
):
    begun, go_on, opened = threading.Event(), threading.Event(), []
    real = getattr(Uploads, way)

    def late(self, name):
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)
        opened.append(real(self, name))
        return opened[0]

    with contextlib.closing(Uploads(str(directory))) as uploads:
        name = await uploads.write(stream_of([b"audio"]))
        monkeypatch.setattr(Uploads, way, late)
        call = content(uploads, name) if way == "_opened" else uploads.write(stream_of([b"a"]))
        task = asyncio.create_task(call)
        await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
        task.cancel()
        go_on.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert opened[0].closed


async def test_nobody_else_on_the_machine_lists_the_directory(directory):
    with contextlib.closing(Uploads(str(directory))) as uploads:
        await uploads.write(stream_of([b"x"]))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
