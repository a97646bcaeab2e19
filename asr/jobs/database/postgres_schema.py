"""The tables of jobs and of their queue in PostgreSQL, and how they are brought up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from procrastinate.psycopg_connector import PsycopgConnector
from procrastinate.schema import SchemaManager
from psycopg import AsyncConnection

SCHEMA = "asr"  # All tables, procrastinate's too, lie in this schema of the database.
LOCK = 7_103_214_401  # Servers that start at once make the tables one after the other.
# One script for each version of our tables.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        entry bigint, -- of procrastinate's queue, while the job has not ended
        id text NOT NULL UNIQUE,
        kind text NOT NULL,
        client text NOT NULL,
        state text NOT NULL,
        priority integer NOT NULL,
        created_at double precision NOT NULL,
        due_at double precision NOT NULL,
        deadline_at double precision,
        started_at double precision,
        ended_at double precision,
        owner text,
        attempt integer NOT NULL,
        audio_seconds double precision NOT NULL,
        done_seconds double precision NOT NULL,
        request text NOT NULL,
        error text,
        result text
    );
    CREATE INDEX jobs_queued ON jobs (kind, priority DESC, sequence)
        INCLUDE (due_at, client, audio_seconds) WHERE state = 'queued';
    CREATE INDEX jobs_clients ON jobs (kind, client) WHERE state = 'queued';
    CREATE INDEX jobs_running ON jobs (owner) WHERE state = 'running';
    CREATE INDEX jobs_deadline ON jobs (deadline_at)
        WHERE ended_at IS NULL AND deadline_at IS NOT NULL;
    CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL;
    CREATE INDEX jobs_listed ON jobs (kind, sequence) INCLUDE (client, state);
    CREATE TABLE events (
        job bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
        attempt integer NOT NULL,
        number integer NOT NULL,
        data text NOT NULL,
        PRIMARY KEY (job, number)
    );
    """,
    """
    CREATE INDEX jobs_of_client ON jobs (kind, client, sequence) INCLUDE (state);
    CREATE INDEX jobs_open ON jobs (kind, sequence) INCLUDE (client, state)
        WHERE ended_at IS NULL;
    """,
)


async def prepare(connection: AsyncConnection[Any]) -> None:
    """Make the tables, or those changes to them that are missing, in one transaction."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    await connection.execute(
        "CREATE SCHEMA IF NOT EXISTS asr; "
        "CREATE TABLE IF NOT EXISTS versions (name text PRIMARY KEY, version text NOT NULL)"
    )
    version = int(await _version(connection, "jobs") or 0)
    for script in MIGRATIONS[version:]:
        await connection.execute(script)
    await _note(connection, "jobs", str(max(version, len(MIGRATIONS))))
    await _prepare_queue(connection)


async def _prepare_queue(connection: AsyncConnection[Any]) -> None:
    """Make procrastinate's tables, or run those of its migrations that have not run."""
    noted = await _version(connection, "procrastinate")
    scripts = _queue_migrations()
    if noted is None:
        await connection.execute(SchemaManager(PsycopgConnector()).get_schema())
    else:
        for script in [script for name, script in scripts.items() if name > noted]:
            await connection.execute(script)
    await _note(connection, "procrastinate", max(noted or "", *scripts))


def _queue_migrations() -> dict[str, str]:
    """Procrastinate's scripts by their names, in the order in which they are to run."""
    paths = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    return {path.name: path.read_text() for path in paths}


async def _version(connection: AsyncConnection[Any], name: str) -> str | None:
    cursor = await connection.execute("SELECT version FROM versions WHERE name = %s", [name])
    row = await cursor.fetchone()
    return None if row is None else str(row["version"])


async def _note(connection: AsyncConnection[Any], name: str, version: str) -> None:
    await connection.execute(
        "INSERT INTO versions VALUES (%s, %s) "
        "ON CONFLICT (name) DO UPDATE SET version = EXCLUDED.version",
        [name, version],
    )
