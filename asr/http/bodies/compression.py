"""Compressed request bodies: gzip and deflate are inflated within bounds, others are refused."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from asr.errors import BadRequest, TooLarge, UnsupportedMedia

ENCODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
PIECE_BYTES = 64 * 1024  # A thread inflates so many bytes at once.
INFLATED_BYTES = 256 * 1024  # It returns after so many bytes of what they inflate to.
MOST_TIMES_LARGER = 100  # A body that inflates to more than so many times its size is refused ...
ANY_TIMES_LARGER_BYTES = 16 * 2**20  # ... unless it inflates to no more than this.
GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, 2.3.1
GZIP_WINDOW = 16 + zlib.MAX_WBITS
PADDING = b"\0"  # It may follow a gzip stream, as on tapes.
DEFLATE_METHOD = 8  # RFC 1950, 2.2: the low half of the first byte of a zlib stream


def encoding_of(request: web.Request) -> str | None:
    """How the body is compressed: gzip, deflate or not at all.

    Raises:
        UnsupportedMedia: in a way that is not read here.
    """
    named = ",".join(request.headers.getall("Content-Encoding", [])).strip().lower()
    if named in {"", "identity"}:
        return None
    if named not in ENCODINGS:
        raise UnsupportedMedia(
            f"a body with Content-Encoding {named[:40]!r} is not read here: "
            "send it uncompressed, or as gzip or deflate"
        )
    return ENCODINGS[named]


def expect_uncompressed(request: web.Request, what: str) -> None:
    """Check that the body is as it is.

    Raises:
        UnsupportedMedia: it has a Content-Encoding.
    """
    if encoding_of(request) is not None:
        raise UnsupportedMedia(
            f"{what} cannot have a Content-Encoding: send it uncompressed; gzip and deflate are "
            "read only where the body is the audio itself or a JSON object"
        )


async def inflated(
    body: AsyncIterator[bytes], encoding: str, check: Callable[[int], None]
) -> AsyncIterator[bytes]:
    """What `body` inflates to; `check` is given its size so far.

    Raises:
        BadRequest, TooLarge: it is damaged, or far larger than it was.
    """
    inflater = Inflater(encoding)
    async for data in body:
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            while part := await asyncio.to_thread(inflater.push, piece):
                piece = b""
                check(inflater.inflated_bytes)
                yield part
    inflater.finish()


class Inflater:
    """Inflates a gzip or deflate body that arrives in pieces; gzip may have several members."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream: zlib._Decompress | None = None  # of the member that is being read
        self._has_more = False  # without further bytes
        self._has_ended = False  # a member was whole, and no other has begun
        self._rest = b""  # not inflated yet
        self._taken_bytes = 0
        self.inflated_bytes = 0

    def push(self, data: bytes) -> bytes:
        """Some of what `data` and the bytes before it inflate to; nothing: more are needed.

        Raises:
            BadRequest, TooLarge: they are damaged, or inflate to far more.
        """
        self._taken_bytes += len(data)
        data, parts, room = self._rest + data, [], INFLATED_BYTES
        while room > 0 and (data or self._has_more):
            if self._stream is None:
                data = data.lstrip(PADDING) if self._has_ended else data
                if not self._begins_member(data):
                    break
                self._stream, self._has_ended = zlib.decompressobj(self._window(data)), False
            part, data = self._inflate(self._stream, data, room)
            parts.append(part)
            room -= len(part)
            self._has_more = room == 0 and self._stream is not None
        self._rest = data
        self.inflated_bytes += INFLATED_BYTES - room
        self._check_ratio()
        return b"".join(parts)

    def finish(self) -> None:
        """Check that nothing is missing.

        Raises:
            BadRequest: the body ends too early.
        """
        if not self._has_ended or self._rest:
            raise BadRequest(
                f"the {self._encoding} body was cut off: its end is missing; send it again, whole"
            )

    def _begins_member(self, data: bytes) -> bool:
        """Whether `data` begins a compressed stream; not where it is too short to tell."""
        if not self._has_ended:
            return bool(data)
        if len(data) < len(GZIP_MAGIC):
            return False
        if self._encoding != "gzip" or not data.startswith(GZIP_MAGIC):
            raise self._damaged("other bytes follow its end")
        return True

    def _window(self, data: bytes) -> int:
        if self._encoding == "gzip":
            return GZIP_WINDOW
        return zlib.MAX_WBITS if data[0] & 15 == DEFLATE_METHOD else -zlib.MAX_WBITS

    def _inflate(self, stream: zlib._Decompress, data: bytes, room: int) -> tuple[bytes, bytes]:
        """What is inflated, and what is left to inflate."""
        try:
            part = stream.decompress(data, room)
        except zlib.error as error:
            raise self._damaged(str(error).rpartition(": ")[2]) from error
        if stream.eof:
            self._stream, self._has_ended = None, True
            return part, stream.unused_data
        return part, stream.unconsumed_tail

    def _damaged(self, reason: str) -> BadRequest:
        return BadRequest(
            f"the body is not {self._encoding}, as its Content-Encoding says, or is damaged "
            f"({reason}): send it again, or uncompressed"
        )

    def _check_ratio(self) -> None:
        limit = max(ANY_TIMES_LARGER_BYTES, MOST_TIMES_LARGER * self._taken_bytes)
        if self.inflated_bytes > limit:
            raise TooLarge(
                f"the body inflates to more than {MOST_TIMES_LARGER} times its size: "
                "send it uncompressed"
            )
