"""Official clients for Python and Node, OpenAI's and Deepgram's, asked for every cell."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import openai

from tests.clients.cells import KEY, Cell

AT_ONCE = 4  # requests of one client
NODE_SOURCE = Path(__file__).resolve().parent.parent / "node"
DEEPGRAM = Path(__file__).with_name("requirements.txt")
INSTALL_SECONDS = 120
ANSWER_SECONDS = 300
REQUEST_SECONDS = 60  # for one answer, after which the cell is wrong
PIP_OFFLINE = ("No matching distribution", "NewConnectionError", "Max retries exceeded")
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


class Absent(Exception):
    """A client that cannot be had here, and why."""


@dataclass(frozen=True)
class Answer:
    """What a client gave for a cell; one of the three."""

    body: Any = None  # text, or an object as JSON has it
    events: Sequence[Any] | None = None
    error: dict[str, Any] | None = None


def ask_python(url: str, cells: Sequence[Cell]) -> list[Answer]:
    """The answers of `openai` for Python, which checks them against its types itself.

    Each cell is reported on standard error as soon as it is done.
    """

    async def all_of_them() -> list[Answer]:
        turn = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(_python_answer(url, cell, turn) for cell in cells))

    return asyncio.run(all_of_them())


async def _python_answer(url: str, cell: Cell, turn: asyncio.Semaphore) -> Answer:
    async with (
        turn,
        openai.AsyncOpenAI(
            base_url=url,
            api_key=cell.key,
            max_retries=0,
            timeout=REQUEST_SECONDS,
            _strict_response_validation=True,
        ) as client,
    ):
        try:
            return await _python_call(client, cell)
        except openai.APIError as error:  # the base: a stream may fail after its status
            named = {name: getattr(error, name, None) for name in ("type", "param", "code")}
            status = getattr(error, "status_code", None)
            return Answer(error={"name": type(error).__name__, "status": status, **named})
        finally:
            print(f"Python: {cell.route} {dict(cell.fields)}", file=sys.stderr, flush=True)


async def _python_call(client: openai.AsyncOpenAI, cell: Cell) -> Answer:
    if cell.route == "models":
        if "model" in cell.fields:
            return Answer((await client.models.retrieve(cell.fields["model"])).to_dict())
        return Answer([model.to_dict() async for model in client.models.list()])
    route: Any = getattr(client.audio, cell.route)
    fields = {"file": cell.file, "model": "whisper-1", **cell.fields}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of translations, by OpenAI itself
        if cell.response_format == "tsv" and not cell.is_streamed:  # OpenAI has no such format
            return Answer((await route.with_raw_response.create(**fields)).text)
        answer = await route.create(**fields)
    if cell.is_streamed:
        return Answer(events=[event.to_dict() async for event in answer])
    return Answer(answer if isinstance(answer, str) else answer.to_dict())


def ask_node(
    url: str, cells: Sequence[Cell], cache: Path, program: str = "client.mjs"
) -> list[Answer]:
    """The answers of the client for Node that a `program` drives; npm installs it under `cache`.

    Raises:
        Absent: there is no Node, or no registry to install from.
    """
    folder = install_node_client(cache)
    return _told(["node", str(folder / program)], url, cells)


def ask_deepgram(url: str, cells: Sequence[Cell], cache: Path) -> list[Answer]:
    """The answers of `deepgram-sdk` for Python, which pip installs under `cache`.

    Raises:
        Absent: there is no registry to install from.
    """
    folder = install_deepgram_client(cache)
    script = Path(__file__).with_name("listen_client.py")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return _told([sys.executable, str(script)], url, cells, environment)


def _told(
    command: Sequence[str],
    url: str,
    cells: Sequence[Cell],
    environment: Mapping[str, str] | None = None,
) -> list[Answer]:
    """The answers of a program that is told the cells on stdin, and tells what it got on stdout."""
    named = [{**asdict(cell), "refusal": None, "file": str(cell.file)} for cell in cells]
    limits = {"at_once": AT_ONCE, "request_seconds": REQUEST_SECONDS}
    asked = {"url": url, "key": KEY, **limits, "cells": named}
    done = subprocess.run(
        command,
        input=json.dumps(asked),
        stdout=subprocess.PIPE,  # what it tells of each cell, and its failure, goes to ours
        text=True,
        timeout=ANSWER_SECONDS,
        env=environment,
    )
    if done.returncode:
        program = Path(command[-1]).name
        raise RuntimeError(f"{program} ended with {done.returncode}; its standard error says why")
    return [Answer(**answer) for answer in json.loads(done.stdout)]


def install_node_client(cache: Path) -> Path:
    """A folder with `client.mjs` and what it imports, in the versions that are locked.

    Raises:
        Absent: as for `ask_node`.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Absent(f"there is no {program} here: apt-get install nodejs npm")
    version = hashlib.sha256((NODE_SOURCE / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = cache / f"node-client-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    for source in NODE_SOURCE.glob("*.*js*"):
        shutil.copy(source, folder)
    if not (folder / "installed").exists():
        _npm_install(folder)
        (folder / "installed").touch()
    return folder


def install_deepgram_client(cache: Path) -> Path:
    """A folder with `deepgram-sdk` in the version that is pinned, apart from .venv.

    Raises:
        Absent: as for `ask_deepgram`.
    """
    version = hashlib.sha256(DEEPGRAM.read_bytes()).hexdigest()[:12]
    folder = cache / f"deepgram-client-{version}"
    if (folder / "installed").exists():
        return folder
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--retries=0", "--upgrade"]
    command += ["--disable-pip-version-check", "--target", str(folder), "--requirement"]
    try:
        done = subprocess.run(
            [*command, str(DEEPGRAM)], capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise Absent(f"pip found nothing within {INSTALL_SECONDS} s") from None
    if any(reason in done.stderr for reason in PIP_OFFLINE):
        raise Absent("pip reaches no registry: it installs the client once, into .cache")
    if done.returncode:
        raise RuntimeError(f"pip: {done.stderr}")
    (folder / "installed").touch()
    return folder


def _npm_install(folder: Path) -> None:
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise Absent(f"npm found nothing within {INSTALL_SECONDS} s") from None
    if done.returncode == 0:
        return
    if any(reason in done.stderr for reason in OFFLINE):
        raise Absent("npm reaches no registry: it installs the client once, into .cache")
    raise RuntimeError(f"npm: {done.stderr}")
