"""Read a request's audio and parameters: from query, JSON, form, or the bytes alone."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import AliasChoices, BaseModel

from asr.audio.streams import Source, chained
from asr.errors import BadRequest, Invalid, TooLarge
from asr.http import sources
from asr.http.multipart import Upload
from asr.http.parameters import Location
from asr.http.sources import body_limits

Parameters = TypeVar("Parameters", bound=BaseModel)

JSON_ERRORS = (ValueError, RecursionError)  # `json` raises the latter where it is nested too deep.
JSON_BYTES = 32 * 2**20  # A larger body of keys is refused; a data URI in it has 24 MiB of audio.
JSON_COMMAS = 100_000  # More values are refused, because millions would block the event loop.
BLANK_BYTES = 64 * 1024  # So much white space before a JSON object is skipped.
BLANK = b" \t\r\n\xef\xbb\xbf"  # JSON's white space, and a byte order mark.
TEXT_BYTES = 64  # Text is recognised by so many bytes: all audio differs there.
PRINTED = re.compile(r"[^\x00-\x08\x0e-\x1f\x7f]*")
FORM_FIELDS = 100  # A URL-encoded form with more fields is refused.
LISTS = {"languages", "temperature"}  # They may be repeated; of other fields the last one counts.


async def read(
    request: web.Request, stack: contextlib.AsyncExitStack, kind: type[Parameters]
) -> tuple[Source, Parameters]:
    """The request's audio and its parameters of this `kind`.

    Raises:
        CallerError: the audio cannot be had.
        pydantic.ValidationError: a parameter cannot be used.
    """
    query = _fields(request.query.items())
    if "url" in query:
        return _located(request, query, stack, kind)
    if request.content_type == "multipart/form-data":
        return await _read_form(request, query, stack, kind)
    body = sources.body(request, body_limits(request))
    head = await _head(body)
    is_text = _is_text(head)
    is_json = request.content_type == "application/json"  # though clients say so of audio too
    if head.lstrip(BLANK)[:1] == b"{" or (is_json and is_text):
        data = await _whole(head, body)
        return _located(request, {**query, **_json_object(data)}, stack, kind)
    is_form = request.content_type == "application/x-www-form-urlencoded"
    if is_form and _begins_a_form(head, kind):
        fields = await asyncio.to_thread(_url_form, await _whole(head, body))
        return _located(request, {**query, **fields}, stack, kind)
    if head and is_text:
        raise BadRequest(
            "the body is text, neither audio nor a JSON object: "
            'send {"url": "..."} or the bytes of an audio file'
        )
    return chained(head, body), kind.model_validate(query)


async def _read_form(
    request: web.Request,
    query: Mapping[str, object],
    stack: contextlib.AsyncExitStack,
    kind: type[Parameters],
) -> tuple[Source, Parameters]:
    form = await Upload(request, body_limits(request), stack).whole()
    sent = _fields((name, value) for name, values in form.fields.items() for value in values)
    fields = {**query, **sent}
    if form.file is not None:
        return form.file, kind.model_validate(fields)
    if "url" in fields:
        return _located(request, fields, stack, kind)
    raise BadRequest("the form has no file: send the audio as the part 'file', or a 'url'", "file")


def _located(
    request: web.Request,
    fields: Mapping[str, object],
    stack: contextlib.AsyncExitStack,
    kind: type[Parameters],
) -> tuple[Source, Parameters]:
    url = Location.model_validate(fields).url
    parameters = kind.model_validate({k: value for k, value in fields.items() if k != "url"})
    return sources.locate(request, url, stack), parameters


def _fields(pairs: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Texts by name, `name[]` counting as `name`; those of lists with commas between them."""
    found: dict[str, object] = {}
    for sent, value in pairs:
        name = sent.removesuffix("[]")
        found[name] = f"{found[name]},{value}" if name in LISTS and name in found else value
    return found


def _begins_a_form(head: bytes, kind: type[BaseModel]) -> bool:
    """Whether a parameter's name begins the body; audio may come under a form's type."""
    name = re.match(rb"\w+(?=(\[\]|%5[Bb]%5[Dd])?=)", head)
    return name is not None and name[0].decode("ascii", "replace") in _names(kind)


def _names(kind: type[BaseModel]) -> set[str]:
    names = {"url", *kind.model_fields}
    for field in kind.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            names.update(map(str, field.validation_alias.choices))
    return names


def _json_object(data: bytes) -> dict[str, object]:
    if data.count(b",") > JSON_COMMAS:
        raise TooLarge(f"the JSON object has more than {JSON_COMMAS} values: send fewer")
    try:
        found = json.loads(data)
    except JSON_ERRORS as error:
        reason = _json_fault(error)
        raise BadRequest(f'the body is not JSON ({reason}): send {{"url": "..."}}') from error
    if not isinstance(found, dict):
        raise Invalid('the body is not a JSON object: send {"url": "..."} or audio bytes')
    return found


def _json_fault(error: Exception) -> str:
    """Say why bytes are not JSON, without the interpreter's words."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return "a number in it has too many digits"


def _url_form(data: bytes) -> dict[str, object]:
    try:
        return _fields(parse_qsl(data.decode("utf-8", "replace"), max_num_fields=FORM_FIELDS))
    except ValueError as error:
        raise BadRequest(f"the form has more than {FORM_FIELDS} fields: send fewer") from error


async def _head(body: AsyncIterator[bytes]) -> bytes:
    """The body's first bytes: enough to tell text from audio; b"" for an empty body."""
    head = b""
    async for data in body:
        head += data
        if len(head.strip(BLANK)) >= TEXT_BYTES or len(head) > BLANK_BYTES:
            break
    return head


def _is_text(head: bytes) -> bool:
    """Whether the bytes that begin a body are UTF-8 without control characters."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return PRINTED.fullmatch(text) is not None


async def _whole(head: bytes, body: AsyncIterator[bytes]) -> bytes:
    data = bytearray(head)
    async for part in body:
        data += part
        if len(data) > JSON_BYTES:
            raise TooLarge(
                f"a JSON object or form may have at most {JSON_BYTES // 2**20} MiB: "
                "send the audio's bytes as the body"
            )
    return bytes(data)
