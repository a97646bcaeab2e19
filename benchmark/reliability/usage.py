"""Read what a server process and its children hold: memory, descriptors, threads, files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmark.process_usage import KIB, MIB

DELETED = " (deleted)"  # The kernel ends the link of an open file without a name with this.


@dataclass(frozen=True)
class Usage:
    """Holds what one server holds at one moment."""

    rss: float  # MiB that are resident, of the server alone
    children_pss: float  # MiB of its children, shared pages in proportion
    descriptors: int
    threads: int
    files: int  # in TMPDIR, those without a name included
    children: int


def usage(pid: int, temporary: Path) -> Usage:
    """Return what the process `pid` and its children hold now.

    Args:
        temporary: the process's TMPDIR.

    Raises:
        psutil.NoSuchProcess: the process has ended.
    """
    process = psutil.Process(pid)
    children = living_children(process)
    return Usage(
        rss=process.memory_info().rss / MIB,
        children_pss=sum(_pss(child.pid) for child in children),
        descriptors=process.num_fds(),
        threads=process.num_threads(),
        files=len(temporary_files(pid, temporary)),
        children=len(children),
    )


def living_children(process: psutil.Process) -> list[psutil.Process]:
    living = []
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                living.append(child)
    return living


def temporary_files(pid: int, temporary: Path) -> list[str]:
    """Return the files in `temporary`, and the process's open ones that lost their name there."""
    named = [str(path) for path in temporary.rglob("*") if path.is_file()]
    return [*named, *(link for link in _links(pid) if link.startswith(f"{temporary}/"))]


def _links(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed since
            target = str(link.readlink())
            if target.endswith(DELETED):
                yield target


def _pss(pid: int) -> float:
    """Return the process's memory in MiB; shared pages count in proportion; 0 once it ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1]) * KIB / MIB
    return 0.0
