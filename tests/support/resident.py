"""Read how much memory this process has in RAM."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Return the bytes in RAM; skip the test where the system does not tell."""
    if not STATM.exists():
        pytest.skip("the system has no /proc")
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
