"""Finds the name of a form's file in the beginning of its body, which can be read again."""

from __future__ import annotations

from aiohttp import web

from asr.audio.streams import chained
from asr.errors import BadRequest
from asr.http import sources
from asr.http.app_keys import BODY
from asr.http.bodies.compression import encoding_of
from asr.http.bodies.form_parser import FormParser, FormPart
from asr.http.sources import Turn, body_limits

AHEAD_BYTES = 64 * 1024  # The name is looked for in so many bytes.


async def first_file(request: web.Request) -> str | None:
    """Return the name of the form's first part that has a file name, if it comes early.

    Whoever reads the body afterwards gets it from its first byte.

    Raises:
        TooLarge, BodyTimeout, BadRequest: the body breaks off before that part, or a limit does.
    """
    if encoding_of(request) is not None:
        return None  # no compressed form is read
    try:
        search = _Search(request.headers.get("Content-Type", ""))
    except BadRequest:
        return None  # whoever reads it says what is wrong
    head = bytearray()
    body = sources.body(request, body_limits(request))
    async for data in body:
        await search.take(data[: AHEAD_BYTES - len(head)])
        head += data
        if search.is_over or len(head) >= AHEAD_BYTES:
            break
    request[BODY] = chained(bytes(head), body)
    return search.name


class _Search:
    """Looks through a form that arrives in pieces for its first file."""

    def __init__(self, content_type: str) -> None:
        self._parser = FormParser(content_type)
        self._turn = Turn()
        self.name: str | None = None
        self.is_over = False  # It is found, or never will be.

    async def take(self, data: bytes) -> None:
        """Look at the bytes that have come."""
        size = self._parser.piece_bytes(data)
        for start in range(0, len(data), size):
            try:
                events = self._parser.feed(data[start : start + size])
            except BadRequest:
                self.is_over = True
                return
            for event in events:
                if isinstance(event, FormPart) and event.filename is not None:
                    self.name, self.is_over = event.name, True
                    return
            await self._turn.give()
