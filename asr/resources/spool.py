"""Temporary files: opened and written, with the reason and the remedy where a disk fails."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import os
import tempfile
import time
from types import TracebackType
from typing import BinaryIO

from asr.concurrency import end_tasks
from asr.errors import ServerError, StorageFailed, StorageFull
from asr.resources.exhaustion import run_out

MEMORY_BYTES = 16 * 2**20  # Where the disk fails, a file of at most so many bytes is in memory.
CHECK_BYTES = 64 * 1024  # A check of the disk writes so many bytes.
CHECK_SECONDS = 2.0  # The result of a check is repeated for so long.
SILENT_SECONDS = 10.0  # A disk that has not ended a check for so long counts as failed.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Bytes = bytes | bytearray | memoryview


class Spool:
    """A temporary file without a name; few bytes are in memory where the disk takes none.

    Its methods wait for the disk.
    """

    def __init__(self) -> None:
        self._size = 0
        self._failure: ServerError | None = None  # of the disk; then `file` is in memory
        try:
            self.file = opened()
        except (StorageFull, StorageFailed) as failure:
            self._failure = failure
            self.file = _opened_in_memory()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()

    def write(self, data: Bytes) -> None:
        """Write all of `data` at the end.

        Raises:
            StorageFull, StorageFailed: the disk does not take it, and memory would not either.
            OutOfResources: the system has no more memory.
        """
        is_small = self._size + len(data) <= MEMORY_BYTES
        if self._failure is not None and not is_small:
            raise self._failure
        try:
            self._write(data)
        except (StorageFull, StorageFailed) as failure:
            if self._failure is not None or not is_small:
                raise
            self._failure = failure
            self._move_to_memory()
            self._write(data)
        self._size += len(data)

    def _write(self, data: Bytes) -> None:
        place, left = self._size, memoryview(data)
        while left:
            size = write_at(self.file, left, place)
            place, left = place + size, left[size:]

    def _move_to_memory(self) -> None:
        with self.file as on_disk:
            self.file = _opened_in_memory()
            place = 0
            while place < self._size:
                data = read_at(on_disk, self._size - place, place)
                place += write_at(self.file, data, place)


def opened() -> BinaryIO:
    """Open a temporary file without a name or a buffer.

    Raises:
        StorageFull, StorageFailed, OutOfResources: it cannot be created.
    """
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise failure_of(error) from error


def write_at(file: BinaryIO, data: Bytes, place: int) -> int:
    """Write the beginning of `data` at a place; return how many bytes were written.

    Raises:
        StorageFull, StorageFailed, OutOfResources: none can be written.
    """
    try:
        return os.pwrite(file.fileno(), data, place)
    except OSError as error:
        raise failure_of(error) from error


def read_at(file: BinaryIO, size: int, place: int) -> bytes:
    """Read at most `size` bytes at a place.

    Raises:
        StorageFailed: they cannot be read.
    """
    try:
        return os.pread(file.fileno(), size, place)
    except OSError as error:
        raise failure_of(error) from error


def failure_of(error: OSError) -> ServerError:
    """Turn the system's error about a temporary file into ours, with its remedy."""
    if (exhausted := run_out(error, "a temporary file cannot be opened")) is not None:
        return exhausted
    reason = (error.strerror or str(error)).lower()
    if error.errno in FULL:
        return StorageFull(
            f"the audio cannot be stored, the disk of {_place()} is full ({reason}): send a "
            "smaller file, or set TMPDIR on the server to a directory with more room"
        )
    return StorageFailed(
        f"the audio cannot be stored in {_place()} ({reason}): send a smaller file, or set TMPDIR "
        "on the server to a directory that can be written"
    )


def _place() -> str:
    try:
        return f"TMPDIR={tempfile.gettempdir()}"
    except OSError:
        return "TMPDIR"


def _opened_in_memory() -> BinaryIO:
    try:
        return os.fdopen(os.memfd_create("spool"), "w+b", buffering=0)
    except OSError as error:
        raise failure_of(error) from error


class SpoolCheck:
    """Knows whether temporary files can be written, and never waits for the disk."""

    def __init__(self, seconds: float = CHECK_SECONDS) -> None:
        self._seconds = seconds
        self._problem: str | None = None
        self._began = -math.inf
        self._check: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        if self._check is not None:
            await end_tasks(self._check)

    def problem(self) -> str | None:
        """Why no temporary file can be written, by the last check; begin the next one."""
        age = time.monotonic() - self._began
        if self._check is not None and not self._check.done():
            return self._problem if age < SILENT_SECONDS else f"{_place()} does not answer"
        if age >= self._seconds:
            self._began = time.monotonic()
            self._check = asyncio.create_task(self.run())
        return self._problem

    async def run(self) -> None:
        """Check now."""
        self._problem = await asyncio.to_thread(_problem)


def _problem() -> str | None:
    try:
        with contextlib.closing(opened()) as file:
            write_at(file, bytes(CHECK_BYTES), 0)
    except ServerError as error:
        return error.message
    return None
