"""Run our server with a planted leak, which the soak must find.

The first argument names what is leaked, the second the seconds between two leaks.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from aiohttp import web

from asr.config.config import Config
from asr.engines.load import load
from asr.resources import cpu
from asr.server.app import create_app
from asr.server.run import run
from asr.startup import StartupTimer

BLOCK = 20 * 2**20  # One leak of memory keeps so many bytes.

kept: list[object] = []


def memory() -> object:
    return os.urandom(BLOCK)  # not zeros: the kernel would not make those resident


def descriptors() -> object:
    return Path(os.devnull).open("rb")


def threads() -> object:
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    return thread


def files() -> object:
    return tempfile.TemporaryFile()


LEAKS: dict[str, Callable[[], object]] = {
    "memory": memory,
    "descriptors": descriptors,
    "threads": threads,
    "files": files,
}


def leaking(
    kind: str, every_s: float
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return a signal handler of the app that leaks when `every_s` seconds have passed."""
    due = time.monotonic() + every_s

    async def leak(_: web.Request, __: web.StreamResponse) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due += every_s
            kept.append(LEAKS[kind]())

    return leak


def main() -> None:
    start = StartupTimer.of_process()
    config = Config.from_environment(os.environ)
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)s %(message)s")
    cpu.configure_openmp(os.environ)
    app = create_app(config, partial(load, start=start))
    app.on_response_prepare.append(leaking(sys.argv[1], float(sys.argv[2])))
    run(app, config, start)


if __name__ == "__main__":
    main()
