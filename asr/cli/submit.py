"""`python -m asr submit`: audio becomes jobs of a server."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from asr.cli.client import JobsClient, JobView, Json, Refused, connected
from asr.cli.options import server_options, transcription_options
from asr.cli.recordings import audio_at


@click.command("submit")
@click.argument("audio", nargs=-1, required=True, metavar="FILE|URL...")
@click.option("--id", "job_id", help="Id of the job; without it, the server makes one.")
@click.option("--webhook", help="URL that is told when the job has ended.")
@click.option("--webhook-secret", help="Secret that its messages are signed with.")
@click.option("--priority", type=int, help="Jobs with a higher one go first; 0 if unset.")
@click.option("--deadline", type=float, help="Seconds after which it is not wanted any more.")
@transcription_options
@server_options
def submit_command(
    audio: tuple[str, ...],
    server: str,
    api_key: str | None,
    is_json: bool,
    job_id: str | None,
    deadline: float | None,
    **fields: Any,
) -> int:
    """Submit files, all audio in folders, and URLs as jobs, and print their ids.

    A file is uploaded; a URL is fetched by the server. The ids are what `wait`, `status` and
    `cancel` take. A job that is submitted again with its --id is still one job.
    """
    found = [each for name in audio for each in _expanded(name)]
    if job_id is not None and len(found) != 1:
        raise click.UsageError(f"--id is for one job, and there are {len(found)}")
    asked = {**fields, "id": job_id, "deadline_s": deadline}
    given = {name: value for name, value in asked.items() if value is not None}
    return asyncio.run(_submit(found, given, server, api_key, is_json))


async def _submit(
    audio: Sequence[str], fields: Json, server: str, api_key: str | None, is_json: bool
) -> int:
    failed = 0
    async with connected(server, api_key) as client:
        for each in audio:
            try:
                found = await _submitted(client, each, fields)
            except (Refused, OSError) as error:
                failed += 1
                reason = error.message if isinstance(error, Refused) else str(error)
                if is_json:
                    click.echo(json.dumps({"audio": each, "error": reason}, ensure_ascii=False))
                click.echo(f"{each}: {reason}", err=True)
                continue
            shown = json.dumps({"audio": each, **found}, ensure_ascii=False)
            click.echo(shown if is_json else JobView.of(found).id)
    return int(failed > 0)


async def _submitted(client: JobsClient, audio: str, fields: Json) -> Json:
    key = uuid.uuid4().hex  # the job is one, also where an answer is lost and it is sent again
    return await client.submit(audio, fields, key)


def _expanded(name: str) -> Iterator[str]:
    """The audio that a name stands for: a URL, a file, or all files of a folder.

    Raises:
        click.UsageError: there is none.
    """
    if "://" in name or name.startswith("data:"):
        yield name
        return
    if not Path(name).exists():
        raise click.UsageError(f"there is no file {name!r}, and it is no URL")
    files = [str(audio) for audio, _ in audio_at(Path(name))]
    if not files:
        raise click.UsageError(f"there is no audio in {name!r}")
    yield from files
