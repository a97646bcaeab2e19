"""Gives memory that was freed back to the system, where the C library keeps it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable


def trim_function() -> Callable[[int], int]:
    """glibc's `malloc_trim`; other C libraries give memory back by themselves, or never."""
    if not sys.platform.startswith("linux"):
        return lambda _: 0
    function = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda _: 0) if function is None else function
