"""`python -m asr status`, `cancel` and `list`: the jobs of a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import click

from asr.cli.client import JobsClient, JobView, Json, Refused, connected
from asr.cli.options import IDS, server_options

PAGE = 100  # So many jobs are asked for at once.
STATES = ("queued", "running", "completed", "failed", "cancelled", "expired")


@click.command("status")
@IDS
@server_options
def status_command(ids: tuple[str, ...], server: str, api_key: str | None, is_json: bool) -> int:
    """Show the state of jobs and how much of their audio is transcribed.

    Exit code 1: the server does not know one of them.
    """
    return asyncio.run(_each(ids, server, api_key, is_json, JobsClient.get))


@click.command("cancel")
@IDS
@server_options
def cancel_command(ids: tuple[str, ...], server: str, api_key: str | None, is_json: bool) -> int:
    """Cancel jobs, also those that run; those that have ended stay as they are.

    Exit code 1: the server does not know one of them.
    """
    return asyncio.run(_each(ids, server, api_key, is_json, JobsClient.cancel))


@click.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES))
@click.option("--limit", default=PAGE, type=click.IntRange(1), show_default=True)
@server_options
def list_command(
    states: tuple[str, ...], limit: int, server: str, api_key: str | None, is_json: bool
) -> None:
    """List your jobs, newest first: state, seconds of audio done and in all, id."""
    asyncio.run(_list(states, limit, server, api_key, is_json))


async def _each(
    ids: Sequence[str],
    server: str,
    api_key: str | None,
    is_json: bool,
    call: Callable[[JobsClient, str], Awaitable[Json]],
) -> int:
    failed = 0
    async with connected(server, api_key) as client:
        for job_id in ids:
            try:
                show(await call(client, job_id), is_json)
            except Refused as error:
                failed += 1
                click.echo(f"{job_id}: {error.message}", err=True)
    return int(failed > 0)


async def _list(
    states: Sequence[str], limit: int, server: str, api_key: str | None, is_json: bool
) -> None:
    query: Json = {"state": ",".join(states)} if states else {}
    async with connected(server, api_key) as client:
        while limit > 0:
            page = await client.page({**query, "limit": str(min(limit, PAGE))})
            for found in page["jobs"]:
                show(found, is_json)
            limit -= len(page["jobs"])
            if not page.get("after"):
                return
            query["after"] = page["after"]


def show(found: Json, is_json: bool) -> None:
    """Print a job in a line."""
    if is_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    job = JobView.of(found)
    reason = f"  {job.error}" if job.error else ""
    click.echo(f"{job.state:<9} {job.done:8.1f} / {job.total:<8.1f} s  {job.id}{reason}")
