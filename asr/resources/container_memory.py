"""Reads how much memory the container or the machine has, and how much of it is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asr.resources import cpu

MEMINFO = Path("/proc/meminfo")  # Linux writes the machine's memory here, in KiB.
OWN_GROUPS = Path("/proc/self/cgroup")  # Linux writes here in which cgroups a process is.
OWN_STATUS = Path("/proc/self/status")  # Linux writes the process's own memory here, in KiB.
UNKNOWN_MEMORY = 4 * 2**30  # So many bytes count as there, and as left, on other systems.
LIMITS = ("memory.max", "memory.high", "memory.limit_in_bytes")  # of cgroup v2, v2 and v1
USES = ("memory.current", "memory.usage_in_bytes")  # of cgroup v2 and v1
# The kernel gives these pages up before a process has to end; v1 has the names with "total_".
PAGE_CACHE = ("inactive_file", "active_file", "total_inactive_file", "total_active_file")


def limit() -> int:
    """Return the bytes that there are: the smallest limit of the cgroups, or the machine's."""
    total = _kib(MEMINFO, "MemTotal", UNKNOWN_MEMORY // 2**10) * 2**10
    return min([total, *(limit for limit, _ in _limited_groups())])


def available() -> int:
    """Return the bytes that can still be taken from the container and from the machine."""
    left = _kib(MEMINFO, "MemAvailable", UNKNOWN_MEMORY // 2**10) * 2**10
    return max(0, min([left, *(limit - used for limit, used in _limited_groups())]))


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return _kib(OWN_STATUS, "VmRSS", 0) * 2**10


def _kib(file: Path, name: str, unknown: int) -> int:
    if file.exists():
        for line in file.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return unknown


def _limited_groups() -> Iterator[tuple[int, int]]:
    """Yield limit and use of each cgroup around this process that has a limit, in bytes."""
    for folder in _folders():
        limits = [number for name in LIMITS for number in _numbers(folder / name)]
        used = [number for name in USES for number in _numbers(folder / name)]
        if limits and used:
            yield min(limits), used[0] - _page_cache(folder)


def _folders() -> Iterator[Path]:
    """Yield the folder of each cgroup around this process, where a container shows it.

    A container may show its own group alone, as if that were the root.
    """
    roots = {cpu.CGROUP: "/", cpu.CGROUP / "memory": "/"}
    if OWN_GROUPS.exists():
        for line in OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                roots[cpu.CGROUP] = path
            elif "memory" in controllers.split(","):
                roots[cpu.CGROUP / "memory"] = path
    for root, path in roots.items():
        parts = Path(path.lstrip("/")).parts
        yield from (root.joinpath(*parts[:count]) for count in range(len(parts) + 1))


def _numbers(file: Path) -> list[int]:
    """Return the number in `file`; none where there is no such file, or "max": no limit."""
    try:
        return [int(file.read_text())]
    except (OSError, ValueError):
        return []


def _page_cache(folder: Path) -> int:
    try:
        words = (folder / "memory.stat").read_text().split()
    except OSError:
        return 0
    sizes = dict(zip(words[::2], words[1::2], strict=False))
    hierarchical = {name: sizes[name] for name in PAGE_CACHE if name in sizes}
    if any(name.startswith("total_") for name in hierarchical):  # v1: the others are its own alone
        hierarchical = {n: size for n, size in hierarchical.items() if n.startswith("total_")}
    return sum(map(int, hierarchical.values()))
