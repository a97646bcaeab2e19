"""Descriptors, processes and memory: how many there are, and the error when they run out."""

from __future__ import annotations

import contextlib
import errno
import os
import resource

from asr.errors import OutOfResources

RUN_OUT = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS}
NO_THREAD = "can't start new thread"  # Python's message where the system gives no more threads.


def run_out(error: BaseException, what: str) -> OutOfResources | None:
    """Say that `what` failed because something has run out; None where that is not the reason."""
    if isinstance(error, MemoryError):
        reason = "out of memory"
    elif isinstance(error, OSError) and error.errno in RUN_OUT:
        reason = os.strerror(error.errno).lower()
    elif isinstance(error, RuntimeError) and NO_THREAD in str(error):
        reason = "no more threads"
    else:
        return None
    return OutOfResources(f"{what} ({reason})")


def max_descriptors() -> int:
    """How many descriptors this process may have open at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def require_descriptors(count: int) -> None:
    """Make sure that `count` more descriptors can be opened now.

    What opens several, and starts a process between them, would leave it behind halfway.

    Raises:
        OSError: they cannot.
    """
    with contextlib.ExitStack() as stack:
        first = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, first)
        for _ in range(count - 1):
            stack.callback(os.close, os.dup(first))
