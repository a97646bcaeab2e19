"""Multipart forms: read whole, or up to their file, which is then read as it arrives."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from dataclasses import dataclass, field, replace

from aiohttp import web

from asr.audio import raw_pcm
from asr.audio.streams import Source, chained, read_at_least, stream_of
from asr.concurrency import run_in_thread
from asr.errors import BadRequest, TooLarge
from asr.http import sources
from asr.http.bodies.compression import expect_uncompressed
from asr.http.bodies.form_parser import Event, FormParser, FormPart, PartEnd
from asr.http.bodies.values import check_texts
from asr.http.sources import BodyLimits, Turn
from asr.resources.spool import Spool
from asr.text import is_text

FILE = "file"  # The part of this name is the audio, unless a dialect has other names.
TEXT_BYTES = 64  # A part without a file name is audio unless so many bytes at its start are text.
CHARSET = "_charset_"  # The part of this name is no field: all text is UTF-8 (RFC 7578, 4.6).
IN_MEMORY_BYTES = 16 * 2**20  # A larger file is kept on disk.
TEXT_COPIES = 4  # A long field is held so many times: as bytes, as text, in pieces and decoded.
WRITE_BYTES = 2**20  # It is written so many bytes at a time.
FIELD_BYTES = 2**20  # The text fields of a form together may have so many bytes.
FIELD_COMMAS = 10_000  # They may have so many commas, because lists are cut at them.
LONG_BYTES = 8 * 2**20  # A field that may be long has at most so many bytes,
LONG_FIELDS = 4  # and there are at most so many of them.

Fields = dict[str, list[str]]
Store = Callable[[AsyncIterator[bytes]], Awaitable[Source]]


@dataclass
class Form:
    """A multipart form: its text fields, and its file if there is one."""

    fields: Fields = field(default_factory=dict)
    file: Source | None = None


class Upload:
    """A multipart form that is read whole, or up to its file.

    The file can then be transcribed while it arrives.

    Its methods raise TooLarge, BodyTimeout, BadRequest or UnsupportedMedia as soon as the form is
    known to be too large, too slow, broken or compressed.

    Args:
        names: of the parts that may be the file; one of them is.
        long_names: of fields that may be long, such as data URIs.
        store: takes the file of a form that is read whole; None: it lies in memory or on disk.
        media_type: of the file, whatever its part says; None: what that says.
    """

    def __init__(
        self,
        request: web.Request,
        limits: BodyLimits,
        stack: contextlib.AsyncExitStack,
        names: Sequence[str] = (FILE,),
        store: Store | None = None,
        long_names: Sequence[str] = (),
        media_type: str | None = None,
    ) -> None:
        self._names = names
        self._long_names = long_names
        self._stack = stack
        self._limits = limits
        self._store = store or self._stored
        self._media_type = media_type
        self.filename: str | None = None  # of the file, once its part has begun
        self._events = _events(request, limits)
        stack.push_async_callback(self._events.aclose)
        self._file: AsyncIterator[bytes] | None = None  # the file's bytes, where they come next
        self._files = 0
        self._text_bytes = self._commas = self._long_bytes = self._long_fields = 0

    @property
    def has_file(self) -> bool:
        """Whether the file comes next."""
        return self._file is not None

    async def before(self) -> Fields:
        """The fields before the file; all of them where there is none."""
        return (await self._read(stops_before_file=True)).fields

    async def rest(self) -> Form:
        """The file, whole, and the fields after it."""
        file = None if self._file is None else await self._store(self._file)
        self._file = None
        form = await self._read()
        return Form(form.fields, file or form.file)

    async def live(self, confirm: Callable[[Fields], None]) -> AsyncIterator[bytes]:
        """The file's bytes as they arrive; then the fields after it go to `confirm`."""
        assert self._file is not None
        async for data in self._file:
            yield data
        self._file = None
        confirm((await self.rest()).fields)

    async def _read(self, stops_before_file: bool = False) -> Form:
        """What comes next, to the end or up to the file."""
        form = Form()
        async for part in self._events:
            assert isinstance(part, FormPart)
            data, is_file = self._data(), False
            if part.name in self._names:
                part = replace(part, media_type=self._media_type or part.media_type)
                data, is_file = await _told_from_text(part, data)
            if is_file:
                self._files += 1
                if self._files > 1:
                    raise BadRequest(f"the form has two parts {part.name!r}: send one", part.name)
                self.filename = part.filename
                self._file = await raw_pcm.without_raw(data, part.media_type)
                if stops_before_file:
                    break
                form.file = await self._store(self._file)
                self._file = None
                continue
            text = await self._text(part, data)
            if part.name != CHARSET:
                form.fields.setdefault(part.name, []).append(text)
        return form

    async def _data(self) -> AsyncIterator[bytes]:
        """The bytes of the part whose head was read last."""
        async for event in self._events:
            if isinstance(event, PartEnd):
                return
            assert isinstance(event, bytes)
            yield event

    async def _text(self, part: FormPart, stream: AsyncIterator[bytes]) -> str:
        if part.name in self._long_names:
            return await self._long_text(part, stream)
        data = bytearray()
        async for chunk in stream:
            data += chunk
            self._text_bytes += len(chunk)
            self._commas += chunk.count(b",")
            if self._text_bytes > FIELD_BYTES or self._commas > FIELD_COMMAS:
                raise self._too_much_text(part)
        is_file = part.name in self._names
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise (_text_as_file(part.name) if is_file else self._misnamed(part)) from error
        if not is_file:
            check_texts([(part.name, text)])
        return text

    async def _long_text(self, part: FormPart, stream: AsyncIterator[bytes]) -> str:
        """The text of a field that may be long; memory is reserved for it as it arrives."""
        self._long_fields += 1
        data = bytearray()
        async for chunk in stream:
            data += chunk
            self._long_bytes += len(chunk)
            if len(data) > LONG_BYTES or self._long_fields > LONG_FIELDS:
                raise TooLarge(
                    f"the form has more than {LONG_FIELDS} fields {part.name!r}, or one of more "
                    f"than {LONG_BYTES // 2**20} MiB: send fewer, or in a compressed format"
                )
            self._limits.hold(TEXT_COPIES * self._long_bytes)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._misnamed(part) from error

    async def _stored(self, file: AsyncIterator[bytes]) -> Source:
        """The file's bytes, in memory if they are few, else in a file without a name."""
        held: list[bytes] = []
        held_bytes = 0
        on_disk: Spool | None = None
        async for chunk in file:
            held.append(chunk)
            held_bytes += len(chunk)
            if on_disk is None:
                is_full = not self._fits_in_memory(held_bytes)
            else:
                is_full = held_bytes > WRITE_BYTES
            if is_full:
                if on_disk is None:
                    on_disk = self._stack.enter_context(Spool())
                await run_in_thread(on_disk.write, b"".join(held))
                held, held_bytes = [], 0
        if on_disk is None:
            return stream_of(held)
        await run_in_thread(on_disk.write, b"".join(held))
        return on_disk.file

    def _fits_in_memory(self, size: int) -> bool:
        held = size + TEXT_COPIES * self._long_bytes
        return size <= IN_MEMORY_BYTES and self._limits.fits_in_memory(held)

    def _too_much_text(self, part: FormPart) -> BadRequest | TooLarge:
        if part.name in self._names:
            return _text_as_file(part.name)
        if part.filename is not None:
            return self._misnamed(part)
        return TooLarge(
            f"the form's text fields up to {part.name!r} have more than {FIELD_BYTES} bytes or "
            f"{FIELD_COMMAS} commas: send audio as the part {_either(self._names)}"
        )

    def _misnamed(self, part: FormPart) -> BadRequest:
        """The error for a file under a name that is not the file's; most likely it is the audio."""
        kind = "is not UTF-8 text" if part.filename is None else "is a file"
        names = _either(self._names)
        return BadRequest(
            f"the form field {part.name!r} {kind}: if it is the audio, send it as {names}",
            part.name,
        )


def merged(fields: Fields, more: Fields) -> Fields:
    """The values of both, by name, those of `more` last."""
    return {name: fields.get(name, []) + more.get(name, []) for name in [*fields, *more]}


async def _events(request: web.Request, limits: BodyLimits) -> AsyncGenerator[Event]:
    """The form's parts as they arrive: of each its head, its bytes and its end."""
    expect_uncompressed(request, "a form")
    parser, turn = FormParser(request.headers.get("Content-Type", "")), Turn()
    async for data in sources.body(request, limits):
        events: list[Event] = []
        size = parser.piece_bytes(data)
        for start in range(0, len(data), size):
            events += parser.feed(data[start : start + size])
            await turn.give()
        for event in _joined(events):
            yield event
    parser.finish()


def _joined(events: Iterable[Event]) -> Iterator[Event]:
    """The events, those of bytes that follow each other as one."""
    for is_bytes, group in itertools.groupby(events, lambda event: isinstance(event, bytes)):
        if is_bytes:
            yield b"".join(event for event in group if isinstance(event, bytes))
        else:
            yield from group


def without_file(fields: Fields, names: Sequence[str] = (FILE,)) -> BadRequest:
    """The error for a form that has neither a file nor a `url`."""
    for name in names:
        if any(fields.get(name, ())):
            return _text_as_file(name)
    return BadRequest(
        f"the form has no file: send the audio as the part {_either(names)}, or a 'url'", names[0]
    )


def _either(names: Sequence[str]) -> str:
    return " or ".join(map(repr, names))


def _text_as_file(name: str) -> BadRequest:
    return BadRequest(
        f"the part {name!r} is text, not audio: send the bytes of an audio file, with a file "
        "name, or its address as 'url'",
        name,
    )


async def _told_from_text(
    part: FormPart, data: AsyncIterator[bytes]
) -> tuple[AsyncIterator[bytes], bool]:
    """The bytes of a part that has the file's name, and whether they are the file."""
    if part.filename is not None or raw_pcm.is_raw(part.media_type):
        return data, True
    head = await read_at_least(data, TEXT_BYTES)
    return chained(head, data), not is_text(head[:TEXT_BYTES])


def two_audios() -> BadRequest:
    """The error for a request with audio and the address of audio: nobody knows which counts."""
    return BadRequest("the request has audio, and a 'url' beside it: send one of them", "url")
