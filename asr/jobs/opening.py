"""Opens the place of jobs when it is needed first, and runs what works on it until the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from asr.config.config import Config
from asr.errors import ConfigError, StoreUnavailable
from asr.jobs import sqlite_store
from asr.jobs.database.sqlite import FILE
from asr.jobs.service import JobPlace
from asr.jobs.store import JobStore
from asr.jobs.uploads import Uploads

log = logging.getLogger(__name__)

Works = Callable[[JobPlace], AbstractAsyncContextManager[None]]
OpenPlace = Callable[[], AbstractAsyncContextManager[JobPlace]]


class JobOpener:
    """The place of jobs, opened once: at the start, or when it is needed first.

    Args:
        open_place: opens it.
        works: what works on it as long as it is open, such as the worker.
    """

    def __init__(self, open_place: OpenPlace, works: Works) -> None:
        self._open_place = open_place
        self._works = works
        self._stack = contextlib.AsyncExitStack()
        self._opening: asyncio.Task[JobPlace] | None = None

    async def place(self) -> JobPlace:
        """The place; who leaves meanwhile does not stop its opening.

        Raises:
            StoreUnavailable: it cannot be opened now.
        """
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.create_task(self._open())
        try:
            return await asyncio.shield(self._opening)
        except ConfigError as error:
            raise StoreUnavailable(str(error)) from error

    async def open(self) -> None:
        """Open the place now.

        Raises:
            ConfigError: the settings name one that cannot be used.
        """
        self._opening = asyncio.create_task(self._open())
        await self._opening

    async def aclose(self) -> None:
        if self._opening is not None:
            await asyncio.wait([self._opening])
        await self._stack.aclose()

    async def _open(self) -> JobPlace:
        async with contextlib.AsyncExitStack() as stack:
            place = await stack.enter_async_context(self._open_place())
            await stack.enter_async_context(self._works(place))
            self._stack.push_async_exit(stack.pop_all())
        return place


def is_opened_at_start(config: Config) -> bool:
    """Whether jobs may be waiting there already, or the settings ask for that very place."""
    if config.jobs_url is not None or config.uploads_url is not None:
        return True
    directory = config.jobs_dir
    return directory is not None and (not _is_default(config) or (directory / FILE).exists())


@contextlib.asynccontextmanager
async def open_place(config: Config) -> AsyncIterator[JobPlace]:
    """Open the place that the settings name, or else a temporary one.

    Raises:
        ConfigError: they name one that cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        store, directory = await _opened(config, stack)
        if config.jobs_url is not None and config.uploads_url is None:
            log.warning(
                "UPLOADS_URL is unset: other servers of JOBS_URL fail at the jobs whose audio is "
                "uploaded here, unless they share %s",
                directory,
            )
        uploads = _uploads(config.uploads_url or str(directory / "uploads"))
        stack.callback(uploads.close)
        yield JobPlace(store, uploads)


def _uploads(url: str) -> Uploads:
    try:
        return Uploads(url)
    except (ValueError, ImportError) as error:  # no such kind of place, or its package is missing
        kind = url.partition("://")[0]  # the rest may have a password
        raise ConfigError(f"UPLOADS_URL={kind}://… cannot be used: {error}") from error


async def _opened(config: Config, stack: contextlib.AsyncExitStack) -> tuple[JobStore, Path]:
    """The store, and the directory for what lies beside it."""
    if config.jobs_url is not None:
        from asr.jobs import postgres_store  # it takes 0.2 s to load

        store = await stack.enter_async_context(postgres_store.open_store(config.jobs_url))
        return store, config.jobs_dir or _temporary(stack)
    if config.jobs_dir is not None:
        try:
            opened = sqlite_store.open_store(config.jobs_dir)
            return await stack.enter_async_context(opened), config.jobs_dir
        except ConfigError as error:
            if not _is_default(config):
                raise
            log.warning("jobs are lost when this server ends: %s", error)
    directory = _temporary(stack)
    return await stack.enter_async_context(sqlite_store.open_store(directory)), directory


def _is_default(config: Config) -> bool:
    """Whether nobody asked for that very directory."""
    return config.jobs_dir == Path(config.cache_dir) / "jobs"


def _temporary(stack: contextlib.AsyncExitStack) -> Path:
    try:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobs-")))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"TMPDIR cannot be used for jobs: {reason}") from error
