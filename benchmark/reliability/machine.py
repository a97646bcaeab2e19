"""Describe the machine, the commit and the command that figures depend on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

import psutil

from benchmark.provenance import commit, processor

GIB = 2**30


def described(command: Sequence[str]) -> str:
    """Return one line: the command, commit, date, processor, memory and versions."""
    memory = f"{psutil.virtual_memory().total / GIB:.0f} GiB"
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    model = os.environ.get("MODEL_ID", "demo")
    return (
        f"`{' '.join(command)}`, commit {commit()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, "
        f"{processor()}, {memory}, {system}, Python {platform.python_version()}, "
        f"MODEL_ID={model}, load {os.getloadavg()[0]:.1f} before the start"
    )
