"""A PostgreSQL database, called in a thread whose calls end in time though the server does not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import psycopg
from procrastinate.exceptions import ConnectorException
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from asr.concurrency import Outage
from asr.errors import ConfigError, StoreUnavailable
from asr.jobs.database import postgres_schema

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Connection = AsyncConnection[dict[str, Any]]

POOL_SECONDS = 2.5  # A call that has waited so long for a connection is given up.
CALL_SECONDS = 4.0  # The connection of a call that has taken so long is cut.
CONNECTIONS = 6  # A server keeps at most so many; calls wait for each other then.
# The server ends what we have left behind; in milliseconds.
OPTIONS = (
    f"-c search_path={postgres_schema.SCHEMA} -c statement_timeout=3000 -c lock_timeout=2000 "
    "-c idle_in_transaction_session_timeout=10000"
)
# A dead network is noticed within seconds, also by a connection that only waits.
KEEPALIVES = {
    "connect_timeout": 2,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}
PORTS = re.compile(r"[\d,]*")  # With anything else, a part of the password was taken for it.
ENDING = ("08", "57P")  # Classes of errors that end a connection, perhaps amid a commit.
PASSING = ("starting up", "shutting down", "recovery", "too many", "reserved")
Failures = (psycopg.Error, ConnectorException, OSError, TimeoutError)


@contextlib.asynccontextmanager
async def open_database(url: str) -> AsyncIterator[PostgresDatabase]:
    """Open a database, and make its tables; one that is away now may come later.

    Raises:
        ConfigError: the URL is wrong, or the server does not let us in.
    """
    given = _parameters(url)
    parameters = {**KEEPALIVES, **given, "options": f"{OPTIONS} {given.get('options') or ''}"}
    with _running_loop() as loop:
        database = PostgresDatabase(loop, parameters)
        try:
            await database.start()
            yield database
        finally:
            await database.close()


def _parameters(url: str) -> dict[str, Any]:
    """What a URL says; no message quotes it, as the library's own do, because of its password."""
    with contextlib.suppress(psycopg.Error):
        given = conninfo_to_dict(url)
        if PORTS.fullmatch(str(given.get("port", ""))):
            return given
    raise ConfigError(
        "JOBS_URL cannot be used: write it as postgresql://user:password@host:5432/name, and "
        "special characters of the password as %XX (/ as %2F, @ as %40, % as %25); only "
        "parameters of libpq may follow a ?"
    )


@contextlib.contextmanager
def _running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give an event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="jobs", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class PostgresDatabase:
    """Runs calls in the loop of its own thread, each as one transaction."""

    def __init__(self, loop: asyncio.AbstractEventLoop, parameters: dict[str, Any]) -> None:
        self._loop = loop
        self._parameters = parameters
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._is_ready = False  # the tables are made
        self._outage = Outage(log, "the job store fails", "the job store answers", Failures)

    async def call(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Return what `work` returns, once its transaction is committed.

        Its caller may leave; it is done all the same.

        Raises:
            StoreUnavailable: the database does not answer in time, or refuses.
        """
        try:
            result = await self.run(self.transaction(work))
        except Failures as error:
            self._outage.note("a call", error)
            raise StoreUnavailable(_reason(error), _changed_nothing(error)) from error
        self._outage.over("a call")
        return result

    async def run(self, work: Awaitable[Result]) -> Result:
        """Run `work` in the thread's loop; it goes on if its caller leaves."""

        async def body() -> Result:
            return await work

        running = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(body(), self._loop))
        return await asyncio.shield(running)

    async def transaction(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        """What `call` does; within the thread's loop, and with the database's own errors."""
        async with self._connection() as connection:
            if not self._is_ready:
                await postgres_schema.prepare(connection)
                await connection.commit()
                self._is_ready = True
            return await work(connection)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Give a connection that works, and is cut when its time is over."""
        assert self._pool is not None
        for _ in range(CONNECTIONS + 1):  # all others were cut since they were used last
            async with self._pool.connection(POOL_SECONDS) as connection:
                end = self._loop.call_later(CALL_SECONDS, _cut, connection)
                try:
                    if await _works(connection):
                        yield connection
                        await connection.commit()
                        return
                finally:
                    end.cancel()
        raise psycopg.OperationalError("no connection works")

    async def start(self) -> None:
        async def opened() -> None:
            self._pool = AsyncConnectionPool(
                kwargs={**self._parameters, "row_factory": dict_row},
                min_size=0,
                max_size=CONNECTIONS,
                reconnect_timeout=POOL_SECONDS,
                open=False,
            )
            await self._pool.open()
            # The pool's tries hide why they failed: this one tells.
            connection = await AsyncConnection.connect(**self._parameters)
            await connection.close()
            await self.transaction(_nothing)

        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # each call tells of its failure
        try:
            await self.run(opened())
        except Failures as error:
            text = " ".join(str(error).split())
            if "FATAL" in text and not any(words in text for words in PASSING):
                raise ConfigError(f"JOBS_URL cannot be used: {text}") from error
            log.error("JOBS_URL does not answer, jobs are refused until it does: %s", text)

    async def close(self) -> None:
        async def closed() -> None:
            if self._pool is not None:
                await self._pool.close(timeout=1.0)

        await self.run(closed())


async def _nothing(_: Connection) -> None:
    pass


async def _works(connection: Connection) -> bool:
    try:
        await connection.execute("SELECT 1")
    except psycopg.OperationalError:
        if not connection.closed:
            raise
        return False
    return True


def _cut(connection: Connection) -> None:
    """End a connection whose server may be frozen; who waits for it gets an error at once."""
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as same,
    ):
        same.shutdown(socket.SHUT_RDWR)


def _changed_nothing(error: BaseException) -> bool:
    """Whether the database itself has refused, as it does when its disk is full."""
    cause = error.__cause__ if isinstance(error, ConnectorException) else error
    state = str(getattr(cause, "sqlstate", None) or ENDING[0])
    return not state.startswith(ENDING)


def _reason(error: BaseException) -> str:
    """What callers may know: nothing of the database's address."""
    cause = error.__cause__ if isinstance(error, ConnectorException) else error
    is_away = isinstance(cause, psycopg.OperationalError | OSError | TimeoutError)
    return "its database is away or too slow" if is_away else "its database refuses the call"
