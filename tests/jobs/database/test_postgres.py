"""A call to the database ends in time, whatever the database does, and says what it is to say."""

from __future__ import annotations

import asyncio

import pytest

from asr.errors import ConfigError, StoreUnavailable
from asr.jobs.database import postgres
from asr.jobs.database.postgres import Connection, PostgresDatabase, open_database
from tests.support.lines import line_to


async def one(connection: Connection) -> int:
    cursor = await connection.execute("SELECT 1 AS one")
    row = await cursor.fetchone()
    return 0 if row is None else row["one"]


@pytest.fixture
async def line(postgres_with_tables):
    async with line_to(postgres_with_tables.port) as line:
        yield line


@pytest.fixture
def url(postgres_with_tables, line):
    return postgres_with_tables.url.replace(str(postgres_with_tables.port), str(line.port))


@pytest.fixture
async def database(url):
    async with open_database(url) as opened:
        yield opened


async def answers(database: PostgresDatabase) -> None:
    """Wait until the database answers again."""
    async with asyncio.timeout(60):
        while True:
            try:
                assert await database.call(one) == 1
                return
            except StoreUnavailable:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cr3t%zz@host/name",
        "postgresql://me:s3cr3t@[::1/name",
        "postgresql://me:s3cr3t/more@host/name",
        "postgresql://me:s3cr3t@host/name?s3cr3t",
    ],
)
async def test_a_url_that_cannot_be_read_is_not_quoted(url, caplog):
    with pytest.raises(ConfigError, match="as %XX") as raised:
        await open_database(url).__aenter__()
    assert "s3cr3t" not in str(raised.value)
    assert raised.value.__cause__ is raised.value.__context__ is None
    assert "s3cr3t" not in caplog.text


async def test_more_calls_at_once_than_connections_are_all_answered(database):
    assert await asyncio.gather(*(database.call(one) for _ in range(40))) == [1] * 40


async def test_a_call_that_raises_changes_nothing(database):
    async def call(connection: Connection) -> None:
        await connection.execute("INSERT INTO versions VALUES ('a', 'b')")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.call(call)

    async def noted(connection: Connection) -> int:
        cursor = await connection.execute("SELECT * FROM versions WHERE name = 'a'")
        return len(await cursor.fetchall())

    assert await database.call(noted) == 0


async def test_a_frozen_database_is_given_up(database, line, monkeypatch):
    await database.call(one)
    monkeypatch.setattr(postgres, "CALL_SECONDS", 0.3)
    monkeypatch.setattr(postgres, "POOL_SECONDS", 0.3)
    line.stop()
    with pytest.raises(StoreUnavailable, match="away or too slow"):
        await database.call(one)
    monkeypatch.setattr(postgres, "CALL_SECONDS", 60.0)
    await line.mend()
    await answers(database)


async def test_a_database_that_has_died_is_refused_and_found_again(database, line, monkeypatch):
    await database.call(one)
    await line.cut()
    monkeypatch.setattr(postgres, "POOL_SECONDS", 0.3)
    with pytest.raises(StoreUnavailable, match="away or too slow"):
        await database.call(one)
    await line.mend()
    await answers(database)


async def test_the_first_call_after_a_restart_succeeds(database, line):
    await asyncio.gather(*(database.call(one) for _ in range(10)))
    await line.cut()
    await line.mend()
    assert await asyncio.gather(*(database.call(one) for _ in range(10))) == [1] * 10


async def test_what_a_caller_may_read_tells_nothing_of_the_database(database, line, monkeypatch):
    async def call(connection: Connection) -> None:
        await connection.execute("SELECT nonsense FROM secrets")

    with pytest.raises(StoreUnavailable, match="refuses the call") as refused:
        await database.call(call)
    await line.cut()
    monkeypatch.setattr(postgres, "POOL_SECONDS", 0.3)
    with pytest.raises(StoreUnavailable) as away:
        await database.call(one)
    assert (refused.value.changed_nothing, away.value.changed_nothing) == (True, False)
    for error in (refused.value, away.value):
        assert not [word for word in ("127.0", "secret", "postgres") if word in error.message]
        assert error.retry_after > 0


async def test_a_caller_that_leaves_does_not_stop_its_call(database):
    begun, done = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def call(connection: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        await connection.execute("SELECT pg_sleep(0.1)")
        loop.call_soon_threadsafe(done.set)

    task = asyncio.create_task(database.call(call))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(60):
        await done.wait()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("secret", "wrong"), "password authentication failed"),
        (("/postgres", "/nowhere"), 'database "nowhere" does not exist'),
    ],
)
async def test_a_url_that_cannot_work_stops_the_start(url, change, message):
    wrong = url.replace(*change, 1)
    if change[0] == "/postgres":
        wrong = url.removesuffix("/postgres") + "/nowhere"
    with pytest.raises(ConfigError, match=message) as stopped:
        async with open_database(wrong):
            pass
    assert "secret" not in str(stopped.value)


async def test_a_database_that_is_away_at_the_start_may_come_later(url, line, monkeypatch):
    monkeypatch.setattr(postgres, "POOL_SECONDS", 0.3)
    await line.cut()
    async with open_database(url) as database:
        with pytest.raises(StoreUnavailable):
            await database.call(one)
        await line.mend()
        await answers(database)
