"""A SQLite file of one process, whose calls are transactions in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import fcntl
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from asr.errors import ConfigError, StoreUnavailable

Result = TypeVar("Result")
Row = dict[str, Any]

CALL_SECONDS = 5.0  # A call that has waited so long for the disk is given up.
COMMIT_SECONDS = 5.0  # Where its commit has begun, it is waited for so much longer.
FILE = "jobs.db"
LOCK = "jobs.lock"
FULL = "the disk of JOBS_DIR is full"
# One script for each version of the tables; `user_version` in the file counts those that ran.
MIGRATIONS = (
    """
    CREATE TABLE jobs (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        client TEXT NOT NULL,
        state TEXT NOT NULL,
        priority INTEGER NOT NULL,
        created_at REAL NOT NULL,
        due_at REAL NOT NULL,
        deadline_at REAL,
        started_at REAL,
        ended_at REAL,
        owner TEXT,
        attempt INTEGER NOT NULL,
        audio_seconds REAL NOT NULL,
        done_seconds REAL NOT NULL,
        request TEXT NOT NULL,
        error TEXT,
        result TEXT
    );
    CREATE INDEX jobs_queued ON jobs (kind, priority DESC, sequence, due_at, client, audio_seconds)
        WHERE state = 'queued';
    CREATE INDEX jobs_running ON jobs (owner) WHERE state = 'running';
    CREATE INDEX jobs_deadline ON jobs (deadline_at)
        WHERE ended_at IS NULL AND deadline_at IS NOT NULL;
    CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL;
    CREATE INDEX jobs_listed ON jobs (kind, sequence, client, state);
    CREATE TABLE events (
        job_id TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        number INTEGER NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (job_id, number)
    ) WITHOUT ROWID;
    """,
    """
    CREATE INDEX jobs_of_client ON jobs (kind, client, sequence, state);
    CREATE INDEX jobs_open ON jobs (kind, sequence, client, state) WHERE ended_at IS NULL;
    """,
)
RECOVERY = "UPDATE jobs SET state = 'queued', done_seconds = 0 WHERE state = 'running'"


@contextlib.asynccontextmanager
async def open_database(directory: Path) -> AsyncIterator[SqliteDatabase]:
    """Open the file in `directory`; what ran when its last process ended is queued again.

    Raises:
        ConfigError: the directory cannot be used, or another server uses it.
    """
    with _locked(directory), ThreadPoolExecutor(1, "jobs") as thread:
        try:
            opened = thread.submit(_opened, directory / FILE)
            connection = await asyncio.wrap_future(opened)
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"JOBS_DIR={str(directory)!r} cannot be used: {error}") from error
        try:
            yield SqliteDatabase(connection, thread)
        finally:
            await asyncio.wrap_future(thread.submit(connection.close))


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"JOBS_DIR={str(directory)!r} cannot be used: {reason}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(
            f"JOBS_DIR={str(directory)!r} is used by another server: give each its own directory, "
            "or let them share a database (JOBS_URL)"
            if isinstance(error, BlockingIOError)
            else f"JOBS_DIR={str(directory)!r} cannot be locked: {error.strerror}"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path) -> sqlite3.Connection:
    # SQLite gives its other files the rights of this one; requests have secrets of webhooks.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with contextlib.ExitStack() as undo:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        undo.callback(connection.close)
        connection.row_factory = _row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # what was answered survives a power cut
        _migrate(connection)
        connection.execute(RECOVERY)
        undo.pop_all()
    return connection


def _row(cursor: sqlite3.Cursor, values: Sequence[Any]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()["user_version"]
    if version > len(MIGRATIONS):
        raise sqlite3.DatabaseError(f"a newer version of this server wrote {FILE} (v{version})")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;"
        )


class SqliteDatabase:
    """Runs calls in the thread that owns the connection, each as one transaction."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread

    async def call(
        self,
        call: Callable[[], Result],
        undo: Callable[[Result], None] | None = None,
    ) -> Result:
        """Return what `call` returns, once its transaction is on the disk.

        A call that is given up changes nothing.

        Args:
            undo: run, in the thread, if the call was given up while its commit went on.

        Raises:
            StoreUnavailable: the disk fails, is full, or does not answer in time.
        """
        turn = _Turn()
        future = asyncio.wrap_future(self._thread.submit(self._run, turn, call, undo))
        future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        try:
            done, _ = await asyncio.wait([future], timeout=CALL_SECONDS)
            is_committing = not done and not turn.leave(unless=_Phase.COMMITTING)
            if is_committing:
                done, _ = await asyncio.wait([future], timeout=COMMIT_SECONDS)
            if not done and turn.leave():
                raise StoreUnavailable("its disk is too slow", changed_nothing=not is_committing)
            return await future
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"
            raise StoreUnavailable(FULL if full else str(error), changed_nothing=full) from error
        except asyncio.CancelledError:
            turn.leave()
            raise

    def _run(
        self, turn: _Turn, call: Callable[[], Result], undo: Callable[[Result], None] | None
    ) -> Result:
        if turn.phase is _Phase.LEFT:
            raise sqlite3.OperationalError("given up")
        with self._transaction(turn):
            result = call()
        if not turn.end() and undo is not None:
            with self._transaction(_Turn()):
                undo(result)
        return result

    @contextlib.contextmanager
    def _transaction(self, turn: _Turn) -> Iterator[None]:
        if self._connection.in_transaction:  # its end failed
            self._connection.execute("ROLLBACK")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            if not turn.commit():
                raise sqlite3.OperationalError("given up")
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    # --- within a call ---

    def execute(self, query: str, values: Sequence[object] = ()) -> int:
        """Return how many rows were changed."""
        return self._connection.execute(query, values).rowcount

    def execute_many(self, query: str, values: Sequence[Sequence[object]]) -> None:
        self._connection.executemany(query, values)

    def rows(self, query: str, values: Sequence[object]) -> list[Row]:
        return self._connection.execute(query, values).fetchall()

    def row(self, query: str, values: Sequence[object]) -> Row | None:
        row: Row | None = self._connection.execute(query, values).fetchone()
        return row


class _Phase(enum.Enum):
    OPEN = "open"
    COMMITTING = "committing"
    ENDED = "ended"
    LEFT = "left"


class _Turn:
    """What the caller of a transaction and its thread agree on: is it committed, or given up?"""

    def __init__(self) -> None:
        self.phase = _Phase.OPEN
        self._lock = threading.Lock()

    def leave(self, unless: _Phase | None = None) -> bool:
        """Give up; False if it is too late."""
        return self._move(_Phase.LEFT, {_Phase.ENDED, unless})

    def commit(self) -> bool:
        """Begin to commit; False if the caller has given up."""
        return self._move(_Phase.COMMITTING, {_Phase.LEFT})

    def end(self) -> bool:
        """End; False if the caller has given up."""
        return self._move(_Phase.ENDED, {_Phase.LEFT})

    def _move(self, phase: _Phase, unless: set[_Phase | None]) -> bool:
        with self._lock:
            if self.phase in unless:
                return False
            self.phase = phase
            return True
