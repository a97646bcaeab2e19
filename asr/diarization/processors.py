"""Keeps work of torch on one core of the CPU, for the calling thread alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import threadpoolctl
import torch


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
