"""The files of jobs: uploads until they are transcribed, and results too large for a store."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO, TypeVar, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from asr.audio.streams import Source
from asr.concurrency import ThreadPool
from asr.errors import AsrError, NotFound, StorageFailed, StorageFull
from asr.resources.exhaustion import run_out
from asr.resources.spool import FULL

Result = TypeVar("Result")

THREADS = 4  # So many files are written or read at once; one that hangs holds up few others.
# Audio leaves so much of a disk free, or the store beside it could not write that jobs have ended,
# and no audio would ever be removed.
RESERVE_BYTES = 16 * 2**20
PIECE_BYTES = 2**20  # A file is written and read so many bytes at a time.
# Files of other names are not ours: they are never removed. Very long results have a dash.
NAME = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")
PRIVATE = 0o700  # Others on the machine cannot list the directory.


class Uploads:
    """Files under names of its own in a directory or a bucket; none is a caller's name.

    Args:
        url: of the place, as fsspec names it: a directory, `s3://bucket/path` and the like.
    """

    def __init__(self, url: str) -> None:
        self._files, self._place = fsspec.core.url_to_fs(url)
        self._url = url
        self._threads = ThreadPool(THREADS, "uploads")
        self._is_local = isinstance(self._files, LocalFileSystem)

    def close(self) -> None:
        self._threads.close()

    async def write(self, data: AsyncIterator[bytes]) -> str:
        """Write a new file, durably; return its name. After a failure nothing is left of it.

        Raises:
            StorageFull, StorageFailed, OutOfResources: it cannot be written.
            AsrError: whatever reading `data` raises.
        """
        name = uuid.uuid4().hex
        try:
            async with self._new(name) as file:
                async for piece in _pieces(data):
                    await self._run_writing(self._written, file, piece)
        except BaseException:
            await self.remove(name)
            raise
        return name

    def _written(self, file: BinaryIO, piece: bytes) -> None:
        if self._is_local:
            disk = os.statvfs(self._place)
            if disk.f_bavail * disk.f_frsize < RESERVE_BYTES + len(piece):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file.write(piece)

    @contextlib.asynccontextmanager
    async def _new(self, name: str) -> AsyncIterator[BinaryIO]:
        opened: list[BinaryIO] = []  # has the file also where a cancelled caller is not given it
        try:
            await self._run_writing(lambda: opened.append(self._created(name)))
            yield opened[0]
            await self._run_writing(_synced, opened[0])
        except BaseException:
            for file in opened:
                with contextlib.suppress(AsrError):
                    await self._run_writing(_discarded, file)
            raise
        await self._run_writing(opened[0].close)

    async def put(self, name: str, data: bytes) -> None:
        """Write a file of this name, over one that is there.

        Raises:
            StorageFull, StorageFailed, OutOfResources: it cannot be written.
        """

        def call() -> None:
            with self._created(name) as file:
                file.write(data)
                _synced(file)

        await self._run_writing(call)

    async def get(self, name: str) -> bytes:
        """All bytes of a file.

        Raises:
            NotFound: there is none.
            StorageFailed: it cannot be read.
        """
        return cast(bytes, await self._run(self._files.cat_file, self._path(name)))

    async def open(self, name: str, stack: contextlib.AsyncExitStack) -> Source:
        """The bytes of a file: an open one of a directory, a stream of a bucket's.

        Raises:
            NotFound: there is none.
            StorageFailed: it cannot be read.
        """
        opened: list[BinaryIO] = []
        stack.callback(lambda: [file.close() for file in opened])  # if cancelled here, too
        await self._run(lambda: opened.append(self._opened(name)))
        return opened[0] if self._is_local else self._read(opened[0])

    async def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(NotFound):
            await self._run(self._files.rm_file, self._path(name))

    async def older(self, seconds: float) -> list[str]:
        """The names of our files that were written more than so many seconds ago."""
        with contextlib.suppress(NotFound):
            return await self._run(self._older, time.time() - seconds)
        return []

    # --- in threads ---

    def _path(self, name: str) -> str:
        return f"{self._place}/{name}"

    def _created(self, name: str) -> BinaryIO:
        if self._is_local:
            os.makedirs(self._place, PRIVATE, exist_ok=True)  # noqa: PTH103
            return open(self._path(name), "wb")  # noqa: PTH123
        return cast(BinaryIO, self._files.open(self._path(name), "wb"))

    def _opened(self, name: str) -> BinaryIO:
        if self._is_local:
            return open(self._path(name), "rb")  # noqa: PTH123
        return cast(BinaryIO, self._files.open(self._path(name), "rb"))

    async def _read(self, file: BinaryIO) -> AsyncIterator[bytes]:
        while data := await self._run(file.read, PIECE_BYTES):
            yield data

    def _older(self, before: float) -> list[str]:
        self._files.invalidate_cache()  # a bucket's has nothing of what other servers did
        found = [path.rpartition("/")[2] for path in self._files.ls(self._place, detail=False)]
        ours = [name for name in found if NAME.fullmatch(name)]
        return [name for name in ours if self._written_at(name) < before]

    def _written_at(self, name: str) -> float:
        """Seconds since 1970; a file that was removed meanwhile is new."""
        try:
            return float(self._files.modified(self._path(name)).timestamp())
        except FileNotFoundError:
            return math.inf

    async def _run_writing(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Run what writes: where a place is missing, such as the bucket, the fault is ours."""
        try:
            return await self._run(function, *arguments)
        except NotFound as error:
            raise self._failure(error.__cause__ or error) from error

    async def _run(self, function: Callable[..., Result], *arguments: object) -> Result:
        try:
            return await self._threads.run(function, *arguments)
        except AsrError:
            raise
        except FileNotFoundError as error:
            raise NotFound("the file is not there any more: submit the job again") from error
        except Exception as error:  # the boundary of the storages' libraries
            raise self._failure(error) from error

    def _failure(self, error: BaseException) -> AsrError:
        if (exhausted := run_out(error, "a job's file cannot be opened")) is not None:
            return exhausted
        number = getattr(error, "errno", None)
        reason = os.strerror(number).lower() if number else type(error).__name__
        if number in FULL:
            return StorageFull(
                f"the audio cannot be stored, the disk of jobs is full ({reason}): send a smaller "
                "file or a URL, or set UPLOADS_URL on the server to a place with more room"
            )
        return StorageFailed(
            f"the files of jobs cannot be reached ({reason}): send a URL, or set UPLOADS_URL on "
            "the server to a place that can be written"
        )


async def _pieces(data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """`data` in pieces that are worth a turn of a thread."""
    held: list[bytes] = []
    size = 0
    async for part in data:
        held.append(part)
        size += len(part)
        if size >= PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _synced(file: BinaryIO) -> None:
    """Bring what is written to the disk; a bucket has it when the file is closed."""
    file.flush()
    with contextlib.suppress(OSError, AttributeError):
        number = file.fileno()
        os.fsync(number)


def _discarded(file: BinaryIO) -> None:
    discard = getattr(file, "discard", None)
    if discard is not None:
        discard()
    file.close()
