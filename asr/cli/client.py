"""Speaks to a server's jobs over HTTP; what goes wrong is one clear sentence."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import click

Json = dict[str, Any]
Result = TypeVar("Result")

CONNECT_SECONDS = 10.0  # A server that takes no connection for so many seconds is unreachable.
SILENT_SECONDS = 60.0  # A connection without a byte for so many seconds is lost.
AGAIN_SECONDS = 1.0  # What was lost is asked again after so many seconds.
ATTEMPTS = 5  # What is lost, or to be sent later, is sent so often.
LONGEST_WAIT = 60.0  # Nobody waits for more seconds between two attempts.
MESSAGE_CHARS = 500  # A message shows at most so many characters of an answer that is no JSON.
LOST = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)


class Unreachable(click.ClickException):
    """Nothing answers at the server's address."""

    exit_code = 3


class Refused(click.ClickException):
    """The server answered that it does not do what it was asked."""

    exit_code = 1

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds after which it may


@dataclass(frozen=True)
class JobView:
    """What commands read of a job that the server shows."""

    id: str
    state: str
    done: float  # seconds of audio
    total: float  # seconds of audio, as far as they are known
    error: str | None

    @classmethod
    def of(cls, found: Json) -> JobView:
        """Read it from the server's JSON."""
        progress, error = found.get("progress") or {}, found.get("error")
        message = error.get("message") if isinstance(error, dict) else error
        return cls(
            str(found["id"]),
            str(found["state"]),
            float(progress.get("done", 0.0)),
            float(progress.get("total", 0.0)),
            message,
        )

    @property
    def has_ended(self) -> bool:
        return self.state not in {"queued", "running"}

    @property
    def is_completed(self) -> bool:
        return self.state == "completed"


@contextlib.asynccontextmanager
async def connected(server: str, api_key: str | None) -> AsyncIterator[JobsClient]:
    """A client of the server at this URL.

    Raises:
        click.UsageError: it is no URL of a server.
    """
    url = url_of(server)
    timeout = aiohttp.ClientTimeout(None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
    async with aiohttp.ClientSession(headers=key_headers(api_key), timeout=timeout) as session:
        yield JobsClient(session, url)


def url_of(server: str) -> str:
    """The URL of a server, without a slash at its end.

    Raises:
        click.UsageError: it is none.
    """
    url = server if "://" in server else f"http://{server}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise click.UsageError(f"{server!r} is no URL of a server, such as http://localhost:8000")
    return url.rstrip("/")


def key_headers(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"Authorization": f"Bearer {api_key}"}


def unreachable(server: str, error: BaseException, remedy: str) -> Unreachable:
    """What is raised where nobody answers at the URL of a server."""
    reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
    return Unreachable(f"no server can be reached at {server} ({reason}): start one, or {remedy}")


async def refusal(answer: aiohttp.ClientResponse) -> Refused:
    """What is raised where a server's answer is a failure, with what it says."""
    text = await answer.text()
    try:
        found = json.loads(text)["error"]
        message = found if isinstance(found, str) else found["message"]
    except (ValueError, KeyError, TypeError):  # a gateway's page, or another server's
        message = text[:MESSAGE_CHARS].strip()
    after = answer.headers.get("Retry-After", "")
    seconds = float(after) if after.isdecimal() else None
    return Refused(f"the server answered {answer.status}: {message}", seconds)


class JobsClient:
    """The jobs of one server, as the owner of one API key sees them."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server

    async def submit(self, audio: str, fields: Json, key: str) -> Json:
        """Submit the audio of a file or URL as a job; with the same `key` it is the same job."""

        async def send() -> Json:
            headers = {"Idempotency-Key": key}
            if "://" in audio or audio.startswith("data:"):
                body = {"url": audio, **fields}
                return await self._json("POST", "/jobs", json=body, headers=headers)
            with await asyncio.to_thread(Path(audio).open, "rb") as file:
                form = aiohttp.FormData({name: str(value) for name, value in fields.items()})
                form.add_field("file", file, filename=Path(audio).name)
                return await self._json("POST", "/jobs", data=form, headers=headers)

        return await _again(send)

    async def get(self, job_id: str) -> Json:
        return await _again(lambda: self._json("GET", _path(job_id)))

    async def cancel(self, job_id: str) -> Json:
        return await _again(lambda: self._json("DELETE", _path(job_id)))

    async def page(self, query: Json) -> Json:
        return await _again(lambda: self._json("GET", "/jobs", params=query))

    async def result(self, job_id: str, result_format: str) -> str:
        """The result of a completed job, as the text of a file."""

        async def read() -> str:
            query = {"format": result_format}
            async with self._answer("GET", _path(job_id) + "/result", params=query) as answer:
                return await answer.text()

        return await _again(read)

    async def events(self, job_id: str, last: str) -> AsyncGenerator[str]:
        """The ids of a job's events after the one of the id `last`, as they come.

        Raises:
            Unreachable, and those of LOST: the connection is lost.
        """
        headers = {"Last-Event-ID": last} if last else {}
        path = _path(job_id) + "/events"
        async with (
            self._answer("GET", path, headers=headers) as answer,
            contextlib.aclosing(_event_ids(answer)) as identities,
        ):
            async for identity in identities:
                yield identity

    async def _json(self, method: str, path: str, **how: Any) -> Json:
        async with self._answer(method, path, **how) as answer:
            found: Json = await answer.json()
            return found

    @contextlib.asynccontextmanager
    async def _answer(
        self, method: str, path: str, **how: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(method, self._server + path, **how) as answer:
                if answer.status >= 400:
                    raise await refusal(answer)
                yield answer
        except aiohttp.ClientConnectorError as error:
            remedy = "name another with --server or ASR_SERVER"
            raise unreachable(self._server, error, remedy) from error


async def _again(call: Callable[[], Awaitable[Result]]) -> Result:
    """Call until there is an answer, or one that says not to come again, at most ATTEMPTS times."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await call()
        except Refused as refused:
            if refused.retry_after is None or attempt == ATTEMPTS:
                raise
            await asyncio.sleep(min(refused.retry_after, LONGEST_WAIT))
        except LOST as error:
            if attempt == ATTEMPTS:
                raise Unreachable(f"the connection to the server was lost: {error}") from error
            await asyncio.sleep(AGAIN_SECONDS)
    raise AssertionError("the last attempt returns or raises")


async def _event_ids(answer: aiohttp.ClientResponse) -> AsyncGenerator[str]:
    """The id of each Server-Sent Event."""
    rest = b""
    async for received in answer.content.iter_any():
        *lines, rest = (rest + received).split(b"\n")
        for line in lines:
            name, _, value = line.decode().partition(":")
            if name == "id":
                yield value.strip()


def _path(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"
