"""Home Assistant's own client of the Wyoming protocol, and what it got."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import soundfile
from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info

from tests.clients.cells import MODEL, SPEECH, Cell, Refusal
from tests.clients.official import REQUEST_SECONDS
from tests.clients.verdict import Row, Wrong

CLIENT = "Home Assistant's"
FRAMES = 1024  # Home Assistant sends so many at a time.
WIDTHS = {2: "int16", 4: "int32"}  # bytes of a sample → their type


def home_cells() -> list[Cell]:
    """The description, a sentence in each way that it may be sent, and what is refused."""
    speech = SPEECH["wyoming"]
    spoken = ({"language": "en"}, {}, {"width": 4}, {"name": "any"})
    unknown = Refusal("", 0, code="bad_request")
    return [
        Cell("wyoming", {"response_format": "info"}),
        *(Cell("wyoming", {"response_format": "text", **fields}, file=speech) for fields in spoken),
        Cell("wyoming", {"response_format": "text", "language": "tlh"}, unknown, speech),
    ]


def home_rows(port: int, cells: Sequence[Cell]) -> list[Row]:
    """A row for each cell, in their order."""
    return [asyncio.run(_row(port, cell)) for cell in cells]


async def _row(port: int, cell: Cell) -> Row:
    client = AsyncTcpClient("127.0.0.1", port, REQUEST_SECONDS, REQUEST_SECONDS)
    try:
        async with client:
            if cell.file is None:
                await client.write_event(Describe().event())
                return Row(CLIENT, cell, _described(await client.read_event()))
            await _say(client, cell)
            events = [event async for event in _events(client)]
        return _told(cell, events)
    except (Wrong, OSError) as error:
        return Row(CLIENT, cell, problem=" ".join(str(error).split()) or repr(error))


async def _say(client: AsyncTcpClient, cell: Cell) -> None:
    assert cell.file is not None
    width = cell.fields.get("width", 2)
    audio, rate = soundfile.read(cell.file, dtype=WIDTHS[width])
    asked = Transcribe(cell.fields.get("name"), cell.fields.get("language"))
    await client.write_event(asked.event())
    await client.write_event(AudioStart(rate, width, 1).event())
    for place in range(0, len(audio), FRAMES):
        data = audio[place : place + FRAMES].tobytes()
        await client.write_event(AudioChunk(rate, width, 1, data).event())
    await client.write_event(AudioStop().event())


async def _events(client: AsyncTcpClient) -> AsyncIterator[Event]:
    while (event := await client.read_event()) is not None:
        yield event
        if event.type in {"transcript-stop", "error"}:
            return


def _described(event: Event | None) -> str:
    if event is None:
        raise Wrong("no answer")
    [program] = Info.from_event(event).asr
    [model] = program.models
    if (model.name, model.languages) != (MODEL, ["en", "es"]):
        raise Wrong(f"another model: {model}")
    return str(program.name)


def _told(cell: Cell, events: Sequence[Event]) -> Row:
    errors = [Error.from_event(event) for event in events if Error.is_type(event.type)]
    if cell.refusal is not None or errors:
        codes = [error.code for error in errors]
        if cell.refusal is None or codes != [cell.refusal.code]:
            raise Wrong(f"not {cell.refusal} but {errors or 'a text'}")
        return Row(CLIENT, cell, f"error {codes[0]}")
    found = [Transcript.from_event(each) for each in events if Transcript.is_type(each.type)]
    if len(found) != 1 or found[0].language != "en":
        raise Wrong(f"not one transcript in English: {found}")
    text = found[0].text
    chunks = [each.data["text"] for each in events if TranscriptChunk.is_type(each.type)]
    if "".join(chunks) != text or len(chunks) < 2:
        raise Wrong(f"the chunks are not the text: {chunks}")
    words = text.split()
    return Row(CLIENT, cell, f"{len(words)} words", words=tuple(words), text=text)
