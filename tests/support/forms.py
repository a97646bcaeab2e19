"""Send forms as OpenAI's clients do, and read what comes back."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import aiohttp
import soundfile

from asr.api.openai.schemas import ErrorObject, OpenAiProblem
from asr.options import Options
from tests.conftest import PATIENCE_SECONDS, tone, wav
from tests.support.fake_engine import FakeEngine

CLIP = wav(tone(1.0))
PATH = "/v1/audio/transcriptions"


def form(
    *fields: tuple[str, str], file: bytes | None = CLIP, part: str = "file", **named: str
) -> aiohttp.FormData:
    """Return a multipart form with its file first, as the part of this name."""
    data = aiohttp.FormData(default_to_multipart=True)
    if file is not None:
        data.add_field(part, file, filename="upload")
    for name, value in [*fields, *named.items()]:
        data.add_field(name, value)
    return data


async def transcribe(client: Any, *fields: tuple[str, str], path: str = PATH, **named: Any) -> Any:
    response = await client.post(path, data=form(*fields, **named))
    assert response.status == 200, await response.text()
    return response


async def refused(client: Any, *fields: tuple[str, str], **named: Any) -> tuple[int, ErrorObject]:
    response = await client.post(PATH, data=form(*fields, **named))
    return response.status, await problem(response)


async def problem(response: Any) -> ErrorObject:
    """Return the error object of `response`, which must hold nothing else."""
    error = OpenAiProblem.model_validate_json(await response.text(), extra="forbid").error
    assert error.type in {"invalid_request_error", "rate_limit_error", "server_error"}
    return error


async def events(response: Any) -> list[dict[str, Any]]:
    """Return the events of an SSE response, without its comments."""
    received = []
    async for line in response.content:
        if line.startswith(b"data: "):
            received.append(json.loads(line[6:]))
        else:
            assert line == b"\n" or line.startswith(b":")
    return received


def options_asked(engine: FakeEngine) -> Options:
    """Return the options of the only window that the engine got."""
    [[window]] = engine.steps
    return window.options


def slow_form(*before, after=(), sent, head='; filename="f"'):
    """Return a form whose file stops half way until `sent` is set.

    `head` follows the file's name in its part's header lines.
    """

    def field(name, value):
        return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'

    file = io.BytesIO()
    soundfile.write(file, tone(20.0), 16_000, format="AU")  # transcribed from its first second on
    audio = file.getvalue()

    async def body():
        yield "".join(field(*pair) for pair in before).encode()
        yield f'--b\r\nContent-Disposition: form-data; name="file"{head}\r\n\r\n'.encode()
        yield audio[: len(audio) // 2]
        async with asyncio.timeout(PATIENCE_SECONDS):
            await sent.wait()
        yield audio[len(audio) // 2 :] + b"\r\n"
        yield "".join(field(*pair) for pair in after).encode() + b"--b--\r\n"

    return {"data": body(), "headers": {"Content-Type": "multipart/form-data; boundary=b"}}
