"""Where diarizers compute: on a GPU, or on one core of the CPU for the calling thread alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import threadpoolctl
import torch

from asr.config.config import Config

LEARNT_BYTES = 31 * 2**20  # A freed block of 32 MB or more teaches glibc nothing.


def device_of(config: Config) -> torch.device:
    """The GPU that DEVICE names, the first for `auto`; the CPU where there is none."""
    if config.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda:0" if config.device in ("auto", "cuda") else config.device)


def keep_freed_memory() -> None:
    """Let glibc keep what the networks free, up to twice 31 MB, for their next step.

    It would give the memory back and get it anew, empty, a hundred times a second: a ninth of all
    processor time. Source: "Dynamic mmap threshold" in malloc.c; the threshold follows a freed
    block of up to 32 MB.
    """
    torch.empty(LEARNT_BYTES, dtype=torch.uint8)


class OneCore:
    """Limits the threads that torch starts; the thread of the engine has its own number.

    OpenMP keeps the number for each thread that calls it, other than `torch.set_num_threads`.
    """

    def __init__(self) -> None:
        self._libraries = threadpoolctl.ThreadpoolController().select(user_api="openmp")

    @contextmanager
    def limit(self) -> Iterator[None]:
        """Use one core until the end of the block."""
        torch.get_num_threads()  # A thread's first call sets its number: here, not in the block.
        with self._libraries.limit(limits=1):
            yield
