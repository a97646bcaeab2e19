"""Shares the process's file descriptors among connections and decoders."""

from __future__ import annotations

import contextlib
import resource

MOST_DESCRIPTORS = 65_536  # The limit is not raised above this: more are never needed.
MOST_CONNECTIONS = 10_000  # No more are allowed however many descriptors there are.
LEAST_CONNECTIONS = 16  # So many are allowed however few descriptors there are.
OWN = 128  # The interpreter, its libraries, the model and a GPU's driver hold so many at most.
PER_DECODER = 6  # An ffmpeg process takes so many here: its pipes, and those that start it.
FOR_CONNECTIONS = 0.75  # Connections get this share of what is left, files and downloads the rest.


def raise_limit() -> int:
    """Raise the process's limit of descriptors as far as it may; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def connection_limit(descriptors: int, decoders: int, backlog: int) -> int:
    """How many connections may be open at once.

    Args:
        descriptors: that the process may have.
        decoders: that may run at once; they have at most a third.
        backlog: connections that are accepted before the first of them is counted.
    """
    for_decoders = min(PER_DECODER * decoders, descriptors // 3)
    left = descriptors - OWN - backlog - for_decoders
    return max(LEAST_CONNECTIONS, min(MOST_CONNECTIONS, int(left * FOR_CONNECTIONS)))
