"""Open the files that requests name: those inside AUDIO_ROOT, and no others."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from asr.errors import BadUrl, Forbidden, NotFound
from asr.outbound.fetch import shown
from asr.resources.exhaustion import run_out
from asr.text import quoted

PATH_BYTES = 4096  # A longer path is refused: PATH_MAX of Linux.
O_PATH = getattr(os, "O_PATH", os.O_RDONLY)  # On Linux, a directory that cannot be listed opens.
OPEN_DIRECTORY = O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # A pipe does not block.


def file_path(url: str) -> str:
    """Return the path that a `file:` URL names.

    Raises:
        BadUrl: the URL cannot be parsed, or names another host.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadUrl(f"{quoted(shown(url))} is not a URL: write file:///path") from error
    if parts.netloc not in {"", "localhost"}:
        raise BadUrl("a file: URL cannot name another host: write file:///path")
    return unquote_to_bytes(parts.path).decode("utf-8", "surrogateescape")


def open_inside(root: Path | None, path: str, check_size: Callable[[int], None]) -> BinaryIO:
    """Open a regular file that really lies inside `root`, links followed.

    Where links lead is looked up first. The file is then opened from directory to directory
    without following any, so that a link which is put there meanwhile leads nowhere.

    Args:
        check_size: raises TooLarge for too many bytes.

    Raises:
        BadUrl, Forbidden, NotFound, TooLarge: the message has the reason and the remedy.
    """
    if root is None:
        raise Forbidden(
            "local paths are not allowed here: set AUDIO_ROOT on the server to the directory "
            "that may be read, or send the file's bytes"
        )
    if len(path) > PATH_BYTES:
        raise BadUrl(f"the path has {len(path)} characters, the limit is {PATH_BYTES}")
    name = quoted(path)
    top, steps = _resolved(root, path)
    try:
        descriptor = _opened(top, steps)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file at {name}: check its name") from error
    except OSError as error:
        if (exhausted := run_out(error, f"{name} cannot be opened")) is not None:
            raise exhausted from error
        raise Forbidden(f"{name} cannot be read: {error.strerror or error}") from error
    try:
        if not _lies_in(top, descriptor):
            raise _outside(name)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Forbidden(f"{name} is not a regular file: give the name of an audio file")
        check_size(status.st_size)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _resolved(root: Path, path: str) -> tuple[Path, Sequence[str]]:
    """Follow all links; return the real root, and the names from it to the file."""
    top = Path(os.path.realpath(root))
    try:
        real = Path(os.path.realpath(root / path))
    except ValueError as error:  # a NUL byte, half a surrogate pair
        reason = f"{quoted(path)} is not a path: give the name of a file in AUDIO_ROOT"
        raise BadUrl(reason) from error
    except OSError as error:  # a link is replaced while it is looked up
        raise NotFound(f"there is no file at {quoted(path)}: check its name") from error
    if not real.is_relative_to(top):
        raise _outside(quoted(path))
    return top, real.relative_to(top).parts


def _opened(top: Path, steps: Sequence[str]) -> int:
    """Open the file that the names lead to from `top`; a link among them is an OSError."""
    *directories, name = steps or (".",)
    place = os.open(top, OPEN_DIRECTORY)
    try:
        for directory in directories:
            inner = os.open(directory, OPEN_DIRECTORY, dir_fd=place)
            os.close(place)
            place = inner
        return os.open(name, OPEN_FILE, dir_fd=place)
    finally:
        os.close(place)


def _lies_in(top: Path, descriptor: int) -> bool:
    """Whether an open file lies in `top`: a directory may be moved while it is walked."""
    try:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:  # no /proc: nothing but the walk is known
        return True
    return place.is_relative_to(top)


def _outside(name: str) -> Forbidden:
    return Forbidden(f"{name} is outside AUDIO_ROOT: give a path inside it")
