"""Read the fields of a binary file in order, never beyond its end."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

from asr.engines.model_files import UnusableFile

CUT = "download it again, or name another model"  # The remedy for a file that ends too early.


class BinaryFile:
    """Reads numbers and bytes one after the other; lengths are checked before anything is read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size
        self.position = 0

    def __enter__(self) -> BinaryFile:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    @property
    def is_at_end(self) -> bool:
        return self.position == self.size

    def take(self, count: int, what: str) -> bytes:
        """Return the next `count` bytes.

        Raises:
            UnusableFile: the file has fewer; the message says that it ends within `what`.
        """
        self._check(count, what)
        self.position += count
        return self._file.read(count)

    def name(self, length: int) -> str:
        """Return a name of so many bytes, which may end with a zero.

        Raises:
            UnusableFile: it is not one, as where a length is damaged.
        """
        content = self.take(length, "a name").rstrip(b"\0")
        if not content.isascii() or not content.decode("ascii").isprintable():
            raise UnusableFile(f"is damaged: before byte {self.position} there should be a name")
        return content.decode("ascii")

    def skip(self, count: int, what: str) -> int:
        """Pass over `count` bytes and return where they begin.

        Raises:
            UnusableFile: as `take`.
        """
        start = self.position
        self._check(count, what)
        self.position += count
        self._file.seek(self.position)
        return start

    def numbers(self, form: str, what: str) -> tuple[Any, ...]:
        """Return little-endian numbers, as `struct` writes `form`."""
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}"), what))

    def number(self, form: str, what: str) -> int:
        """Return one whole number."""
        [value] = self.numbers(form, what)
        return int(value)

    def _check(self, count: int, what: str) -> None:
        if not 0 <= count <= self.size - self.position:
            reason = (
                f"is cut off or damaged: {what} would take {count} bytes from byte "
                f"{self.position} on, and the file has {self.size}"
            )
            raise UnusableFile(reason, CUT)
