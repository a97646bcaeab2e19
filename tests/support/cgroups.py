"""Limit the memory of a process with a cgroup of its own, where that is permitted."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import until

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryGroup:
    """A cgroup with a limit of memory."""

    folder: Path

    @property
    def entry(self) -> list[str]:
        """Return the beginning of a command whose process is in the group from its start."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh"]

    def killed(self) -> int:
        """Return how many processes of the group the system has ended for want of memory."""
        for name in ("memory.events", "memory.oom_control"):
            if (self.folder / name).exists():
                words = (self.folder / name).read_text().split()
                return int(dict(zip(words[::2], words[1::2], strict=False)).get("oom_kill", 0))
        return 0


@contextlib.contextmanager
def memory_group(limit: int) -> Iterator[MemoryGroup]:
    """Make a cgroup of at most `limit` bytes; skip the test where that is not permitted."""
    is_first = (ROOT / "memory").is_dir()  # cgroup v1: a folder for each controller
    folder = (ROOT / "memory" if is_first else ROOT) / f"asr-test-{uuid.uuid4().hex}"
    names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    if not is_first:
        names = ("memory.max", "memory.swap.max")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        try:
            (folder / names[0]).write_text(str(limit))
        except OSError as error:
            pytest.skip(f"no cgroup here limits memory: {error}")
        with contextlib.suppress(OSError):  # the system has no swap
            (folder / names[1]).write_text(str(limit) if is_first else "0")
        yield MemoryGroup(folder)
    finally:
        until(lambda: _is_removed(folder))


def _is_removed(folder: Path) -> bool:
    """Remove a cgroup; its last processes may still be ending."""
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()
