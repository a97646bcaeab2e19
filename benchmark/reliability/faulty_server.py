"""Run our server with an engine that fails as a GPU may: out of memory, or lost.

The first argument names the fault, the second says after how many encoder batches it comes. With
`cap` it is the GPU memory in GB that the process may use. On a CPU the first two faults are
raised with the same errors, so that what the server makes of them can be seen there too.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from typing import Any

import torch

from asr.config.config import Config
from asr.engines.load import load
from asr.engines.whisper.encoding import encoder
from asr.resources import cpu
from asr.server.app import create_app
from asr.server.run import run
from asr.startup import StartupTimer

FAULTS = ("out-of-memory", "lost", "cap")


class Failing:
    """Stands before the encoder and fails instead of it in one call of `every`.

    A lost GPU fails in every call from then on.
    """

    def __init__(self, encode: Any, every: int, is_lost: bool) -> None:
        self._encode = encode
        self._every = every
        self._is_lost = is_lost
        self._calls = 0

    def __call__(self, *arguments: Any) -> Any:
        self._calls += 1
        if self._is_lost and self._calls >= self._every:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure (injected)")
        if self._calls % self._every == 0:
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
        return self._encode(*arguments)


def plant(fault: str, amount: float) -> None:
    """Plant a fault into the engine, or limit the GPU's memory.

    Raises:
        ValueError: there is no such fault.
    """
    if fault not in FAULTS:
        raise ValueError(f"{fault!r} is none of {', '.join(FAULTS)}")
    if fault == "cap":
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(amount * 1e9 / total)
        return
    module: Any = encoder
    module.encode = Failing(module.encode, int(amount), is_lost=fault == "lost")


def main() -> None:
    start = StartupTimer.of_process()
    config = Config.from_environment(os.environ)
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)s %(message)s")
    cpu.configure_openmp(os.environ)
    plant(sys.argv[1], float(sys.argv[2]))
    run(create_app(config, partial(load, start=start)), config, start)


if __name__ == "__main__":
    main()
