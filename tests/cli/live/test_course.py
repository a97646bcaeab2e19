"""Audio is sent while events are shown, and whatever ends it, what was said is shown."""

import asyncio

import pytest

from asr.cli.live.course import LocalSession, run
from asr.cli.live.interruption import Interruption
from asr.errors import BadAudio, BadRequest, EngineDead
from asr.live.events import Delta, Failed
from asr.live.session import EndReason


class Echo:
    """A session that tells each piece of audio, and ends once it is finished."""

    def __init__(self):
        self.told = asyncio.Queue()

    async def append(self, data):
        self.told.put_nowait(Delta("a", data.decode()))

    async def finish(self):
        self.told.put_nowait(None)

    async def events(self):
        while (event := await self.told.get()) is not None:
            yield event


class Shown:
    def __init__(self):
        self.events, self.is_closed = [], False

    def show(self, event):
        self.events.append(event)

    def close(self):
        self.is_closed = True

    @property
    def text(self):
        return "".join(event.text for event in self.events)


async def pieces(*given):
    for piece in given:
        if isinstance(piece, Exception):
            raise piece
        if isinstance(piece, asyncio.Event):
            await piece.wait()
        else:
            yield piece


async def test_all_audio_is_sent_and_all_events_are_shown():
    shown = Shown()
    assert await run(Echo(), pieces(b"one", b"two"), shown, Interruption()) == 0
    assert (shown.text, shown.is_closed) == ("onetwo", True)


async def test_ctrl_c_ends_the_audio_and_what_was_said_is_shown():
    shown, interruption, session = Shown(), Interruption(), Echo()

    class Interrupting(Shown):
        def show(self, event):
            shown.show(event)
            interruption.come()

    never = asyncio.Event()
    assert await run(session, pieces(b"one", never, b"two"), Interrupting(), interruption) == 0
    assert shown.text == "one"


async def test_audio_that_breaks_off_is_shown_as_far_as_it_goes_and_then_raised():
    shown = Shown()
    with pytest.raises(BadAudio, match="damaged"):
        await run(Echo(), pieces(b"one", BadAudio("damaged")), shown, Interruption())
    assert (shown.text, shown.is_closed) == ("one", True)


async def test_a_session_that_ends_by_itself_ends_the_sending():
    shown, session = Shown(), Echo()
    await session.finish()
    assert await run(session, pieces(asyncio.Event()), shown, Interruption()) == 0
    assert shown.is_closed


async def test_utterances_that_fail_are_counted():
    session = Echo()
    session.told.put_nowait(Failed("a", BadRequest("no")))
    assert await run(session, pieces(), Shown(), Interruption()) == 1


class Reader:
    """A live session that has read so many seconds of its audio."""

    def __init__(self):
        self.seconds, self.ended, self.received = 0.0, None, 0

    def append(self, data):
        self.received += len(data)

    async def events(self):
        self.ended = EndReason.ENGINE_DEAD
        yield Delta("a", "one")


async def test_a_session_in_this_process_is_sent_no_more_than_a_minute_ahead(monkeypatch):
    reader = Reader()
    looks = []

    async def look(seconds):
        looks.append(seconds)
        reader.seconds += 1.0

    monkeypatch.setattr("asr.cli.live.course.asyncio.sleep", look)
    session = LocalSession(reader, 8000)
    for _ in range(90):
        await session.append(bytes(16_000))
    assert reader.received == 90 * 16_000
    assert len(looks) == 29


async def test_an_engine_that_ends_is_an_error():
    events = LocalSession(Reader(), 8000).events()
    assert await anext(events) == Delta("a", "one")
    with pytest.raises(EngineDead):
        await anext(events)
