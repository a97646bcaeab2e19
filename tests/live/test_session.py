"""Audio goes in and events come out, in order, whatever happens on the way."""

import asyncio

import pytest

from asr.engines.engine import WindowResult
from asr.errors import BadRequest, EngineDead, Overloaded
from asr.live.events import Committed, Completed, Delta, Failed, SpeechStarted, SpeechStopped
from asr.live.options import LiveAudio, LiveOptions
from asr.live.session import EndReason
from asr.options import Options
from tests.conftest import eventually
from tests.support.fake_engine import transcribed
from tests.support.live import PCM, said, texts, told


async def test_one_turn_is_told_in_order(make_session, engine):
    session = make_session(engine)
    events = await told(session, said(1.0))
    kinds = [SpeechStarted, SpeechStopped, Committed, Delta, Completed]
    assert [type(event) for event in events] == kinds
    assert len({event.item_id for event in events}) == 1
    [completed] = [event for event in events if isinstance(event, Completed)]
    assert completed.text == f" {completed.seconds:.2f} s"
    assert completed.language == "en"
    assert session.ended is EndReason.FINISHED


@pytest.mark.parametrize("size", [1, 999, 3201, 10**7])
async def test_the_events_are_the_same_however_the_bytes_are_divided(make_session, engine, size):
    data = said(1.0, 0.7, seconds=0.4)
    parts = [data[place : place + size] for place in range(0, len(data), size)]
    events = await told(make_session(engine), *parts)
    whole = await told(make_session(engine), data)
    assert texts(events) == texts(whole)
    assert len(texts(events)) == 2


async def test_an_append_of_15_mib_is_transcribed_window_by_window(make_session, engine):
    data = said(0.0, seconds=491.52)
    assert len(data) == 15 * 2**20
    events = await told(make_session(engine), data)
    found = texts(events)
    assert len(found) >= 17
    seconds = [float(text.split()[0]) for text in found]
    assert sum(seconds) == pytest.approx(491.52, abs=0.1)
    assert max(seconds) <= 30


async def test_a_commit_in_manual_mode_gives_one_text_of_several_windows(make_session, engine):
    async with make_session(engine, LiveOptions(PCM, turns=None)) as session:
        session.append(said(0.0, seconds=70))
        await eventually(lambda: len(engine.steps) >= 2)
        session.commit()
        session.finish()
        events = [event async for event in session.events()]
    [text] = texts(events)
    assert text.count(" s") == 3
    assert isinstance(events[0], Committed)


async def test_what_was_cleared_is_not_transcribed(make_session, engine):
    async with make_session(engine) as session:
        session.append(said(0.0))
        session.clear()
        session.append(said(1.0, seconds=2.0))
        session.finish()
        [text] = texts([event async for event in session.events()])
    assert float(text.split()[0]) == pytest.approx(2.5, abs=0.1)


async def test_another_format_holds_from_the_audio_that_follows_it(make_session, engine):
    async with make_session(engine) as session:
        session.append(said(1.0))
        session.configure(LiveOptions(LiveAudio("pcm", 8_000)))
        session.append(said(1.0, seconds=0.5))  # at 8 kHz it lasts twice as long
        session.finish()
        found = texts([event async for event in session.events()])
    first, second = (float(text.split()[0]) for text in found)
    assert first == pytest.approx(second, abs=0.4)


async def test_options_that_cannot_be_honoured_change_nothing(make_session, engine):
    async with make_session(engine) as session:
        with pytest.raises(BadRequest):
            session.configure(LiveOptions(options=Options(language="xx")))


async def test_a_window_that_fails_is_told_and_the_session_goes_on(make_session, engine):
    def transcribe(window):
        if len(engine.steps) == 1:
            return WindowResult(window, error=RuntimeError("a fault"))
        return transcribed(window)

    engine.transcribe = transcribe
    events = await told(make_session(engine), said(1.0, 1.0))
    [failed] = [event for event in events if isinstance(event, Failed)]
    assert "the model failed on this audio" in str(failed.error)
    assert len(texts(events)) == 1


def lost(window):
    raise RuntimeError(f"the GPU is lost, and {window.seconds} s of audio")


async def test_a_session_ends_with_the_engine(make_session, engine):
    engine.transcribe = lost
    session = make_session(engine)
    events = await told(session, said(1.0, 1.0))
    failed = [event for event in events if isinstance(event, Failed)]
    assert isinstance(failed[0].error, EngineDead)
    assert session.ended is EndReason.ENGINE_DEAD


async def test_a_session_that_is_left_leaves_no_window_behind(make_sessions, engine):
    sessions = make_sessions(engine)
    engine.gate.clear()
    async with sessions.open(LiveOptions(PCM)) as session:
        session.append(said(1.0, 1.0))
        await eventually(lambda: engine.steps and engine.steps[-1])
    assert not sessions._scheduler._requests
    engine.gate.set()
    await eventually(lambda: engine.dropped)


async def flood(session):
    for _ in range(1000):
        session.append(said(1.0, seconds=4.0))
        await asyncio.sleep(0)


async def test_who_reads_no_events_is_held_up_and_then_refused(make_session, engine):
    engine.gate.clear()
    async with make_session(engine) as session:
        with pytest.raises(Overloaded):
            await flood(session)
        assert len(session._turns.takes) <= 6


async def test_a_session_that_has_lasted_too_long_ends_with_its_last_text(
    make_session, engine, clock
):
    session = make_session(engine, longest_s=600.0)
    async with session:
        session.append(said(0.0))
        clock.advance(600.0)
        events = [event async for event in session.events()]
    assert len(texts(events)) == 1
    assert session.ended is EndReason.EXPIRED


async def test_a_session_is_behind_when_a_text_is_late(make_session, engine, clock):
    engine.gate.clear()
    async with make_session(engine) as session:
        session.append(said(1.0))
        await eventually(lambda: engine.steps and engine.steps[-1])
        assert not session.is_behind
        clock.advance(11.0)
        assert session.is_behind


async def test_who_has_sent_a_recording_at_once_may_wait_for_its_text(make_session, engine, clock):
    engine.gate.clear()
    async with make_session(engine) as session:
        session.append(said(1.0, seconds=4.0))
        await eventually(lambda: engine.steps and engine.steps[-1])
        clock.advance(60.0)  # longer than the recording lasts
        assert not session.is_behind
        engine.gate.set()
        session.finish()
        assert len(texts([event async for event in session.events()])) == 1


@pytest.mark.parametrize(("seconds", "goes_first"), [(1.0, True), (20.0, False)])
async def test_only_audio_that_comes_as_people_speak_goes_before_other_requests(
    make_session, engine, seconds, goes_first
):
    await told(make_session(engine), said(1.0, seconds=seconds))
    windows = [window for step in engine.steps for window in step]
    assert {window.options.is_live for window in windows} == {goes_first}
