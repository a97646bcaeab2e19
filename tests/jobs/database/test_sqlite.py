"""A call is on the disk as a whole, or it has changed nothing; a file is opened by one process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from asr.errors import ConfigError, StoreUnavailable
from asr.jobs.database import sqlite
from asr.jobs.database.sqlite import SqliteDatabase, open_database


@pytest.fixture
async def database(tmp_path):
    async with open_database(tmp_path) as opened:
        yield opened


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Holds the thread of a store; set at last."""
    event = threading.Event()
    yield event
    event.set()


def note(database: SqliteDatabase, text: str) -> bool:
    return database.execute("INSERT INTO events VALUES (?, 1, 1, '')", [text]) == 1


async def notes(database: SqliteDatabase) -> list[str]:
    rows = await database.call(lambda: database.rows("SELECT job_id FROM events", []))
    return [row["job_id"] for row in rows]


async def test_what_a_call_returns_is_given_back(database):
    assert await database.call(lambda: note(database, "a"))
    assert await notes(database) == ["a"]


async def test_a_call_that_raises_changes_nothing(database):
    def call() -> None:
        note(database, "a")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.call(call)
    assert await notes(database) == []


async def test_a_call_that_is_given_up_changes_nothing_later(database, held, monkeypatch):
    monkeypatch.setattr(sqlite, "CALL_SECONDS", 0.05)
    running = asyncio.create_task(database.call(lambda: held.wait(60) and note(database, "held")))
    await asyncio.sleep(0)  # it is first
    with pytest.raises(StoreUnavailable, match="its disk is too slow") as given_up:
        await database.call(lambda: note(database, "waiting"))
    assert given_up.value.changed_nothing
    with pytest.raises(StoreUnavailable, match="its disk is too slow"):
        await running
    held.set()
    monkeypatch.setattr(sqlite, "CALL_SECONDS", 60.0)
    assert await notes(database) == []


async def test_a_cancelled_call_changes_nothing_later(database, held):
    begun = threading.Event()

    def call() -> None:
        note(database, "a")
        begun.set()
        held.wait(60)

    task = asyncio.create_task(database.call(call))
    await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.set()
    assert await notes(database) == []


async def test_a_commit_that_has_begun_is_waited_for(database, held, clock, monkeypatch):
    committing = hold_commit(database, held)
    monkeypatch.setattr(sqlite, "CALL_SECONDS", 60.0)
    monkeypatch.setattr(sqlite, "COMMIT_SECONDS", 600.0)
    task = asyncio.create_task(database.call(lambda: note(database, "a")))
    await asyncio.to_thread(committing.wait, 60)
    clock.advance(60.0)
    await asyncio.wait([task], timeout=0.2)
    assert not task.done()
    held.set()
    assert await task


async def test_a_call_given_up_in_its_commit_is_undone(database, held, clock, monkeypatch):
    committing = hold_commit(database, held)
    monkeypatch.setattr(sqlite, "CALL_SECONDS", 60.0)
    monkeypatch.setattr(sqlite, "COMMIT_SECONDS", 0.05)
    undone: list[bool] = []
    task = asyncio.create_task(database.call(lambda: note(database, "a"), undone.append))
    await asyncio.to_thread(committing.wait, 60)
    clock.advance(60.0)
    with pytest.raises(StoreUnavailable, match="its disk is too slow") as given_up:
        await task
    assert not given_up.value.changed_nothing
    held.set()
    await notes(database)
    assert undone == [True]


def hold_commit(database: SqliteDatabase, held: threading.Event) -> threading.Event:
    """Let every COMMIT wait until `held` is set; return what tells that one waits."""
    committing = threading.Event()

    def trace(statement: str) -> None:
        if statement == "COMMIT":
            committing.set()
            held.wait(60)

    database._connection.set_trace_callback(trace)
    return committing


async def test_a_full_disk_changes_nothing_and_is_named(database):
    await database.call(lambda: note(database, "a"))
    pages = await database.call(lambda: database.row("PRAGMA page_count", []))
    await database.call(lambda: database.row(f"PRAGMA max_page_count = {pages['page_count']}", []))

    def call() -> None:
        note(database, "b")
        note(database, "c" * 100_000)

    with pytest.raises(StoreUnavailable, match="the disk of JOBS_DIR is full"):
        await database.call(call)
    assert await notes(database) == ["a"]
    assert await database.call(lambda: note(database, "small"))


async def test_the_directory_is_made(tmp_path):
    async with open_database(tmp_path / "one" / "two"):
        assert (tmp_path / "one" / "two" / "jobs.db").exists()


async def test_a_second_server_is_refused_and_told_what_to_do(tmp_path):
    async with open_database(tmp_path):
        with pytest.raises(ConfigError, match=r"used by another server.*JOBS_URL"):
            async with open_database(tmp_path):
                pass
    async with open_database(tmp_path):
        pass


async def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"JOBS_DIR='.*file/jobs' cannot be used: not a dir"):
        async with open_database(tmp_path / "file" / "jobs"):
            pass


async def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "jobs.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(ConfigError, match="cannot be used: file is not a database"):
        async with open_database(tmp_path):
            pass


async def test_tables_of_a_newer_version_are_refused(tmp_path):
    async with open_database(tmp_path) as database:
        await database.call(lambda: database.execute("PRAGMA user_version = 99"))
    with pytest.raises(ConfigError, match="a newer version of this server wrote"):
        async with open_database(tmp_path):
            pass


async def test_tables_of_an_older_version_are_brought_up_to_date(tmp_path, monkeypatch):
    async with open_database(tmp_path) as database:
        await database.call(lambda: note(database, "a"))
    newer = (*sqlite.MIGRATIONS, "ALTER TABLE events ADD COLUMN more TEXT DEFAULT 'new';")
    monkeypatch.setattr(sqlite, "MIGRATIONS", newer)
    for _ in range(2):
        async with open_database(tmp_path) as database:
            rows = await database.call(lambda: database.rows("SELECT * FROM events", []))
        assert [(row["job_id"], row["more"]) for row in rows] == [("a", "new")]


async def test_a_migration_that_fails_leaves_the_tables_as_they_were(tmp_path, monkeypatch):
    async with open_database(tmp_path):
        pass
    broken = (*sqlite.MIGRATIONS, "CREATE TABLE more (one TEXT); SELECT one FROM nowhere;")
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "MIGRATIONS", broken)
        with pytest.raises(ConfigError, match="no such table"):
            async with open_database(tmp_path):
                pass
    async with open_database(tmp_path) as database:
        names = await database.call(lambda: database.rows("SELECT name FROM sqlite_master", []))
    assert "more" not in {row["name"] for row in names}


async def test_the_files_are_their_owners_alone(tmp_path):
    async with open_database(tmp_path) as database:
        await database.call(lambda: note(database, "a"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}
    assert "jobs.db-wal" in modes


async def test_what_was_answered_survives_a_power_failure(database):
    for pragma, value in [("synchronous", 2), ("journal_mode", "wal")]:
        row = database._connection.execute(f"PRAGMA {pragma}").fetchone()
        assert row[pragma] == value
