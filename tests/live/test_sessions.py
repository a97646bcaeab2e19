"""Live sessions are counted, limited, and ended together."""

import pytest

from asr.errors import BadRequest, ShuttingDown, TooManySessions
from asr.live.options import LiveOptions
from asr.live.session import EndReason
from asr.options import Options
from tests.support.live import PCM, said, told


async def test_more_sessions_than_allowed_are_refused_until_one_ends(make_sessions, engine):
    sessions = make_sessions(engine, most=1)
    async with sessions.open(LiveOptions()):
        assert (sessions.count, sessions.is_full) == (1, True)
        with pytest.raises(TooManySessions, match="1 live sessions are open") as refused:
            sessions.open(LiveOptions())
        assert refused.value.retry_after > 0
    assert (sessions.count, sessions.is_full) == (0, False)
    assert await told(sessions.open(LiveOptions(PCM)), said(1.0))


async def test_a_session_that_never_begins_does_not_count(make_sessions, engine):
    sessions = make_sessions(engine, most=1)
    sessions.open(LiveOptions())
    async with sessions.open(LiveOptions()):
        pass


async def test_options_that_the_model_cannot_honour_are_refused(make_sessions, engine):
    with pytest.raises(BadRequest, match="does not know the language 'xx'"):
        make_sessions(engine).open(LiveOptions(options=Options(language="xx")))


async def test_all_sessions_end_when_the_server_does(make_sessions, engine):
    sessions = make_sessions(engine)
    engine.gate.clear()
    async with sessions.open(LiveOptions(PCM)) as one, sessions.open(LiveOptions(PCM)) as other:
        one.append(said(1.0))
        sessions.stop()
        assert [event async for event in one.events()] == []
        assert [event async for event in other.events()] == []
        assert one.ended is other.ended is EndReason.SHUTTING_DOWN
        with pytest.raises(ShuttingDown):
            sessions.open(LiveOptions())
