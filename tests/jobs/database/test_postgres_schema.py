"""The tables are made once, by whoever is first, and brought up to date at a start."""

from __future__ import annotations

import asyncio

from asr.jobs.database import postgres_schema
from asr.jobs.database.postgres import Connection, open_database
from asr.jobs.postgres_store import open_store
from tests.support.job_stores import job


async def tables(connection: Connection) -> set[str]:
    cursor = await connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    )
    return {row["tablename"] for row in await cursor.fetchall()}


async def test_three_servers_that_start_at_once_make_the_tables_once(postgres):
    async def start(name: str) -> None:
        async with open_store(postgres.url) as store:
            await store.add(job(name))

    await asyncio.gather(*(start(name) for name in "abc"))
    async with open_store(postgres.url) as store:
        assert None not in [await store.get(name) for name in "abc"]


async def test_all_tables_lie_in_a_schema_of_their_own(postgres):
    async with open_database(postgres.url) as database:
        assert {"jobs", "events", "procrastinate_jobs"} <= await database.call(tables)
    postgres.execute("SELECT 1 FROM asr.jobs")


async def test_only_those_scripts_run_that_have_not_run(postgres, monkeypatch):
    async with open_database(postgres.url):
        pass
    ours = (*postgres_schema.MIGRATIONS, "CREATE TABLE more ()")
    theirs = {**postgres_schema._queue_migrations(), "99.00.00_01.sql": "CREATE TABLE queued ()"}
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", ours)
    monkeypatch.setattr(postgres_schema, "_queue_migrations", lambda: theirs)
    for _ in range(2):  # the second time, they would fail
        async with open_database(postgres.url) as database:
            assert {"more", "queued"} <= await database.call(tables)


async def test_an_older_server_beside_a_newer_one_changes_no_table(postgres, monkeypatch):
    with monkeypatch.context() as newer:
        newer.setattr(postgres_schema, "MIGRATIONS", (*postgres_schema.MIGRATIONS, "SELECT 1"))
        async with open_database(postgres.url):
            pass
    async with open_database(postgres.url) as database:
        cursor = await database.call(versions)
    assert cursor["jobs"] == str(len(postgres_schema.MIGRATIONS) + 1)


async def versions(connection: Connection) -> dict[str, str]:
    cursor = await connection.execute("SELECT * FROM versions")
    return {row["name"]: row["version"] for row in await cursor.fetchall()}
