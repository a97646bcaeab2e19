"""Cuts a multipart form that arrives in pieces into its parts (RFC 7578)."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import aiohttp
from python_multipart import MultipartParser
from python_multipart.decoders import Base64Decoder, QuotedPrintableDecoder
from python_multipart.exceptions import DecodeError, FormParserError
from python_multipart.multipart import parse_options_header

from asr.errors import BadRequest

FEW_BOUNDARIES = 8  # With no more of them, bytes are parsed at many GB/s:
LARGE_PIECE_BYTES = 64 * 1024  # so many at once,
SMALL_PIECE_BYTES = 4 * 1024  # else so many: each boundary takes its time, also a wrong one.
MAX_PARTS = 100  # A form with more parts is refused.
HEADER_LINES = 32  # A part with more header lines is refused.
HEADER_BYTES = 4096  # A longer header line is refused.
SEMICOLONS = 64  # A Content-Disposition with more is refused, because each takes its time.
AROUND_BYTES = 16 * 1024  # More bytes before the first boundary, or after the last, are refused.
SILENT = logging.Logger("form", logging.CRITICAL + 1)  # What callers send wrongly is no warning.
UNENCODED = {"", "binary", "8bit", "7bit"}
BASE64_SPACE = b" \t\r\n"  # Between the characters of base64, as where it is cut into lines.


@dataclass(frozen=True)
class FormPart:
    """The head of a part; its bytes follow."""

    name: str
    filename: str | None
    media_type: str = ""  # its Content-Type


class PartEnd(Enum):
    """Marks the end of a part's bytes."""

    END = "end"


Event = FormPart | bytes | PartEnd


class FormParser:
    """Cuts a form into events: of each part its head, its bytes in any number, and its end.

    Raises:
        BadRequest: from each method, as soon as the form is known to be broken or has too much.
    """

    def __init__(self, content_type: str) -> None:
        self._boundary = b"--" + _boundary(content_type)
        self._parser: MultipartParser | None = None  # once the first boundary is found
        self._before = b""  # the first boundary
        self._after_bytes = 0  # behind the last boundary
        self._is_complete = False
        self._parts = 0
        self._events: list[Event] = []
        self._headers: dict[str, str] = {}
        self._name = self._value = b""  # of the header that is being read
        self._encoding = ""  # its Content-Transfer-Encoding
        self._decoder: TransferDecoder | None = None  # for that

    def piece_bytes(self, data: bytes) -> int:
        """How many of these bytes should be fed at once."""
        is_plain = data.count(self._boundary) <= FEW_BOUNDARIES
        return LARGE_PIECE_BYTES if is_plain else SMALL_PIECE_BYTES

    def feed(self, data: bytes) -> list[Event]:
        """The events of `data`."""
        if self._is_complete:
            self._after_bytes += len(data)
            if self._after_bytes > AROUND_BYTES:
                raise BadRequest(
                    f"more than {AROUND_BYTES} bytes follow the form's last boundary: send none"
                )
            return []
        if self._parser is None:
            data = self._from_first_boundary(data)
        if data:
            self._parse(data)
        events, self._events = self._events, []
        return events

    def finish(self) -> None:
        """Check that the form is whole."""
        if self._parser is None:
            raise self._without_boundary()
        if not self._is_complete:
            raise BadRequest(
                "the multipart form was cut off: its last boundary is missing; send it again, whole"
            )

    def _from_first_boundary(self, data: bytes) -> bytes:
        """The form from its first boundary on; nothing while that has not come."""
        data = self._before + data
        at = 0 if data.startswith(self._boundary) else data.find(b"\n" + self._boundary) + 1
        if at == 0 and not data.startswith(self._boundary):
            if len(data) > AROUND_BYTES:
                raise self._without_boundary()
            self._before = data
            return b""
        self._before = b""
        self._parser = self._new_parser()
        return data[at:]

    def _without_boundary(self) -> BadRequest:
        shown = self._boundary.decode("latin-1")
        return BadRequest(
            f"the multipart form does not begin with the boundary {shown} of its Content-Type: "
            "let your HTTP library write that header"
        )

    def _new_parser(self) -> MultipartParser:
        parser = MultipartParser(
            self._boundary[2:],
            {
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_begin": self._on_part_begin,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
            max_header_count=HEADER_LINES,
            max_header_size=HEADER_BYTES,
        )
        parser.logger = SILENT
        return parser

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.write(data)
        except DecodeError as error:
            raise BadRequest(
                "a part of the form is not what its Content-Transfer-Encoding says: "
                "send its bytes as they are"
            ) from error
        except FormParserError as error:
            raise BadRequest(_reason(str(error))) from error

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadRequest(f"the form has more than {MAX_PARTS} parts: send fewer")
        self._headers = {}

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        name = self._name.decode("latin-1").lower()
        value = self._value.decode("utf-8", "surrogateescape").strip()
        self._headers.setdefault(name, value)
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        disposition = self._headers.get("content-disposition", "")
        if disposition.count(";") > SEMICOLONS:
            raise BadRequest(_reason("header"))
        with warnings.catch_warnings(action="ignore"):  # names that are odd are no names
            _, told = aiohttp.parse_content_disposition(disposition)
        name = aiohttp.content_disposition_filename(told, "name")
        media_type = self._headers.get("content-type", "")
        if name is None or media_type.lower().startswith("multipart/"):
            raise BadRequest("a part of the form has no name or contains other parts")
        self._decoder = self._decoder_of(name)
        filename = aiohttp.content_disposition_filename(told)
        self._events.append(FormPart(name, filename, media_type))

    def _decoder_of(self, name: str) -> TransferDecoder | None:
        self._encoding = self._headers.get("content-transfer-encoding", "").lower()
        if self._encoding == "base64":
            return Base64Decoder(self)
        if self._encoding == "quoted-printable":
            return QuotedPrintableDecoder(self)
        if self._encoding not in UNENCODED:
            raise BadRequest(
                f"the form field {name!r} has an unknown Content-Transfer-Encoding: "
                "send its bytes as they are"
            )
        return None

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        data = data[start:end]
        if self._decoder is None:
            self._events.append(data)
            return
        spaces = BASE64_SPACE if self._encoding == "base64" else b""
        self._decoder.write(data.translate(None, spaces))

    def write(self, data: bytes) -> int:
        """Take what a part's decoder has decoded."""
        self._events.append(data)
        return len(data)

    def _on_part_end(self) -> None:
        if self._decoder is not None:
            self._decoder.finalize()
        self._events.append(PartEnd.END)

    def _on_end(self) -> None:
        self._is_complete = True


class TransferDecoder(Protocol):
    """Undoes a Content-Transfer-Encoding, and writes what comes of it."""

    def write(self, data: bytes) -> int: ...
    def finalize(self) -> None: ...


def _boundary(content_type: str) -> bytes:
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:  # RFC 2046, 5.1.1
        raise BadRequest(
            "the Content-Type of the multipart form has no boundary of 1 to 70 characters: "
            "let your HTTP library write that header"
        )
    return boundary


def _reason(error: str) -> str:
    """Why a form cannot be read; the parser's words are for its own developers."""
    if error.startswith("Maximum header"):
        return (
            f"a part of the form has more than {HEADER_LINES} header lines, or one of more than "
            f"{HEADER_BYTES} bytes: send only Content-Disposition and Content-Type"
        )
    where = "after a boundary" if "boundary" in error else "in the header lines of a part"
    return f"the multipart form is broken {where}: let your HTTP library build it"
