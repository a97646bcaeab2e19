"""Read a request's audio and parameters: from query, JSON, form, or the bytes alone."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from aiohttp import web
from pydantic import AliasChoices, BaseModel

from asr.audio import raw_pcm
from asr.audio.streams import Source, chained
from asr.errors import BadRequest, TooLarge
from asr.http import sources
from asr.http.app_keys import QUEUE_PLACE
from asr.http.bodies.compression import expect_uncompressed
from asr.http.bodies.json_object import EXAMPLE, JSON_BYTES, DataUri, json_object
from asr.http.bodies.multipart import FILE, Fields, Upload, merged, two_audios, without_file
from asr.http.bodies.percent import form_fields
from asr.http.bodies.values import check_texts
from asr.http.parameters import LONG_FIELDS, NAMES, REFERENCES, Location
from asr.http.sources import BodyLimits, body_limits
from asr.text import is_text

Parameters = TypeVar("Parameters", bound=BaseModel)

TEXT_COPIES = 4  # A body of keys is held so many times: as bytes, as text, as a URI and decoded.
BLANK_BYTES = 64 * 1024  # So much white space before a JSON object is skipped.
BLANK = b" \t\r\n\xef\xbb\xbf"  # JSON's white space, and a byte order mark.
TEXT_BYTES = 64  # Text is recognised by so many bytes: all audio differs there.
FORM_BYTES = 2**20  # A larger URL-encoded form is refused.
NAME_BYTES = 256  # The name of a form's first field is looked for in so many bytes.
OBJECT = re.compile(rb"\{[ \t\r\n]*[\"}]")  # So a JSON object begins.
LISTS = {"hotwords", "keywords", "languages", "temperature"}  # They may be repeated,
REPEATED = {NAMES, REFERENCES}  # and so may these, with commas in them; else the last field counts.


class Door(Protocol):
    """What becomes of a request's audio, by the way that it comes."""

    async def received(self, audio: AsyncIterator[bytes]) -> Source:
        """The bytes of a body, read by nobody yet."""

    async def located(self, url: str | DataUri) -> Source:
        """What a `url` names."""

    def upload(self, names: Sequence[str]) -> Upload:
        """A reader of the request's form, whose file has one of the names."""

    def settle(self, fields: Mapping[str, object]) -> None:
        """Know the request's fields; of a form those before its file.

        Raises:
            QueueFull, EngineDead: it is to be answered at once, and cannot be.
        """


class Open(Door):
    """Audio that is transcribed at once, while it arrives."""

    def __init__(self, request: web.Request, stack: contextlib.AsyncExitStack) -> None:
        self._request = request
        self._stack = stack

    async def received(self, audio: AsyncIterator[bytes]) -> Source:
        return audio

    async def located(self, url: str | DataUri) -> Source:
        return sources.locate(self._request, url, self._stack)

    def upload(self, names: Sequence[str]) -> Upload:
        limits = body_limits(self._request)
        return Upload(self._request, limits, self._stack, names, long_names=LONG_FIELDS)

    def settle(self, fields: Mapping[str, object]) -> None:
        self._request[QUEUE_PLACE].settle(fields)


class NotedDoor(Open):
    """Audio that may be transcribed at once; its URL is noted, lest it becomes a job."""

    url: str | DataUri | None = None

    async def located(self, url: str | DataUri) -> Source:
        self.url = url
        return await super().located(url)


async def read(
    request: web.Request,
    stack: contextlib.AsyncExitStack,
    kind: type[Parameters],
    door: Door | None = None,
    has_samples: bool = False,
) -> tuple[Source, Parameters]:
    """The request's audio and its parameters of this `kind`.

    The kind's AUDIO_PARTS, if it has any, are the names of the part of a form that is the audio.

    Args:
        door: where the audio comes in; None: it is transcribed at once.
        has_samples: a body that is no JSON object is raw PCM, which the door knows how to read.

    Raises:
        CallerError: the audio cannot be had.
        pydantic.ValidationError: a parameter cannot be used.
    """
    door = door or Open(request, stack)
    query = _fields(request.query.items())
    if request.content_type == "multipart/form-data":
        return await _read_form(query, door, kind)
    return await _read_body(request, query, door, kind, has_samples)


async def read_object(request: web.Request, example: str = EXAMPLE) -> dict[str, object]:
    """The JSON object that the body is.

    Args:
        example: of such an object, for messages.

    Raises:
        BadRequest, Invalid, TooLarge: it is none, or one with too much in it.
        pydantic.ValidationError: a value in it is none that a field may have.
    """
    limits = body_limits(request)
    data = await _whole(b"", sources.body(request, limits), limits, JSON_BYTES)
    return await asyncio.to_thread(json_object, data, example)


async def _read_body(
    request: web.Request,
    query: Mapping[str, object],
    door: Door,
    kind: type[Parameters],
    has_samples: bool,
) -> tuple[Source, Parameters]:
    limits = body_limits(request)
    body = sources.body(request, limits)
    head = await _head(body)
    if "url" in query and not head:
        return await _located(query, door, kind)
    has_text, start = is_text(head[:BLANK_BYTES]), head.lstrip(BLANK)
    media_type = request.headers.get("Content-Type", "")
    has_samples = has_samples or raw_pcm.is_raw(media_type)
    if has_samples and not (has_text and OBJECT.match(start)):
        _expect_no_url(query)
        door.settle(query)
        parameters = kind.model_validate(query)
        audio = await raw_pcm.without_raw(chained(head, body), media_type)
        return await door.received(audio), parameters
    is_json = request.content_type == "application/json"  # though clients say so of audio too
    if start[:1] == b"{" or (is_json and has_text):
        found = await asyncio.to_thread(json_object, await _whole(head, body, limits, JSON_BYTES))
        return await _located({**query, **found}, door, kind)
    is_form = request.content_type == "application/x-www-form-urlencoded"
    if is_form and _begins_a_form(head, kind):
        expect_uncompressed(request, "a form")
        fields = await asyncio.to_thread(form_fields, await _whole(head, body, limits, FORM_BYTES))
        check_texts(each for each in fields if each[0] not in _audio_parts(kind))
        return await _located({**query, **_fields(fields)}, door, kind)
    if head and has_text:
        raise BadRequest(
            "the body is text, neither audio nor a JSON object: "
            'send {"url": "..."} or the bytes of an audio file'
        )
    _expect_no_url(query)
    door.settle(query)
    parameters = kind.model_validate(query)
    return await door.received(chained(head, body)), parameters


async def _read_form(
    query: Mapping[str, object], door: Door, kind: type[Parameters]
) -> tuple[Source, Parameters]:
    names = _audio_parts(kind)
    upload = door.upload(names)
    before = await upload.before()
    if upload.has_file:  # its bytes are still to come
        _expect_no_url({**query, **before})
        door.settle({**query, **_form_fields(before)})
    form = await upload.rest()
    sent = merged(before, form.fields)
    fields = {**query, **_form_fields(sent)}
    if form.file is not None:
        _expect_no_url(fields)
        return form.file, kind.model_validate(fields)
    if "url" in fields:
        return await _located(fields, door, kind)
    raise without_file(sent, names)


def _expect_no_url(fields: Mapping[str, object]) -> None:
    if "url" in fields:
        raise two_audios()


async def _located(
    fields: Mapping[str, object], door: Door, kind: type[Parameters]
) -> tuple[Source, Parameters]:
    door.settle(fields)
    url = fields.get("url")
    part = next((name for name in _audio_parts(kind) if name in fields), None)
    if url is None and part is not None:
        raise BadRequest(
            f"{part!r} is no multipart form's part here: send the audio in a multipart form (for "
            f"Python's requests: files={{{part!r}: ...}}), as the body, or as a 'url'",
            part,
        )
    if not isinstance(url, DataUri):
        url = Location.model_validate(fields).url
    parameters = kind.model_validate({k: value for k, value in fields.items() if k != "url"})
    return await door.located(url), parameters


def _form_fields(fields: Fields) -> dict[str, object]:
    return _fields((name, value) for name, values in fields.items() for value in values)


def _fields(pairs: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Texts by name, `name[]` counting as `name`; those of lists with commas between them."""
    found: dict[str, object] = {}
    for sent, value in pairs:
        name = sent.removesuffix("[]")
        if name in REPEATED:
            parts = value.split(",") if sent == NAMES else [value]  # as OpenAI's forms are read
            before = found.get(name, [])
            assert isinstance(before, list)
            found[name] = [*before, *(part.strip() for part in parts if part.strip())]
            continue
        found[name] = f"{found[name]},{value}" if name in LISTS and name in found else value
    return found


def _begins_a_form(head: bytes, kind: type[BaseModel]) -> bool:
    """Whether a parameter's name begins the body; audio may come under a form's type."""
    name = re.match(rb"\w+(?=(\[\]|%5[Bb]%5[Dd])?=)", head[:NAME_BYTES])
    return name is not None and name[0].decode("ascii", "replace") in _names(kind)


def _audio_parts(kind: type[BaseModel]) -> Sequence[str]:
    parts: Sequence[str] = getattr(kind, "AUDIO_PARTS", (FILE,))
    return parts


def _names(kind: type[BaseModel]) -> set[str]:
    names = {"url", *_audio_parts(kind), *kind.model_fields}
    for field in kind.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            names.update(map(str, field.validation_alias.choices))
    return names


async def _head(body: AsyncIterator[bytes]) -> bytes:
    """The body's first bytes: enough to tell text from audio; b"" for an empty body."""
    head = bytearray()
    blanks: int | None = None  # the white space that begins it, once its end is known
    async for data in body:
        if blanks is None and (rest := data.lstrip(BLANK)):
            blanks = len(head) + len(data) - len(rest)
        head += data
        if len(head) > BLANK_BYTES or (blanks is not None and len(head) - blanks >= TEXT_BYTES):
            break
    return bytes(head)


async def _whole(
    head: bytes, body: AsyncIterator[bytes], limits: BodyLimits, limit: int
) -> bytearray:
    data = bytearray(head)
    async for part in body:
        data += part
        limits.hold(TEXT_COPIES * len(data))
        if len(data) > limit:
            raise TooLarge(
                f"a JSON object may have at most {JSON_BYTES // 2**20} MiB, a URL-encoded form "
                f"{FORM_BYTES // 2**20} MiB: send the audio's bytes as the body"
            )
    return data
