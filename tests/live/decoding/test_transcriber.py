"""Words come while somebody speaks and stay; the last text waits for the end."""

from dataclasses import replace

import pytest

from asr.engines.engine import WindowResult
from asr.errors import BadRequest, TranscriptionFailed
from asr.live.events import Completed, Delta, Failed, Hypothesis, SpeechStopped
from asr.live.options import LiveOptions
from asr.options import Options
from asr.transcript import Segment
from tests.conftest import eventually
from tests.support.fake_engine import FakeEngine
from tests.support.live import (
    DETECTED,
    PCM,
    POLICY,
    LoudTrack,
    TalkingEngine,
    is_partial,
    said,
    texts,
    told,
)


@pytest.fixture
def engine() -> TalkingEngine:
    return TalkingEngine()


async def spoken(session, engine, seconds: float) -> None:
    """Send a tone bit by bit; each bit that is long enough is transcribed before the next."""
    for n in range(round(seconds / 0.4)):
        before = len(engine.steps)
        session.append(said(0.0, seconds=0.4))
        await eventually(lambda count=0.4 * (n + 1): session.seconds >= count - 0.001)
        await eventually(lambda before=before: len(engine.steps) > before and is_quiet(session))


def is_quiet(session) -> bool:
    return not session._transcriber._decoder._scheduler._requests


async def events_of(session, engine, seconds: float, pause: float = 1.0) -> list:
    async with session:
        await spoken(session, engine, seconds)
        session.append(said(pause, seconds=0.0))
        session.finish()
        return [event async for event in session.events()]


async def test_words_come_while_somebody_speaks_and_are_never_taken_back(make_session, engine):
    events = await events_of(make_session(engine), engine, 4.0)
    stopped = next(n for n, event in enumerate(events) if isinstance(event, SpeechStopped))
    early = "".join(event.text for event in events[:stopped] if isinstance(event, Delta))
    assert len(early.split()) >= 4
    [text] = texts(events)
    assert text.startswith(early)
    assert text.split() == [f"w{n}" for n in range(len(text.split()))]
    assert len(text.split()) >= 8


async def test_what_may_change_is_a_hypothesis_behind_the_deltas(make_session, engine):
    events = await events_of(make_session(engine), engine, 3.0)
    guesses = [event.text for event in events if isinstance(event, Hypothesis)]
    assert any("guess" in text for text in guesses)
    assert not any("guess" in text for text in texts(events))


async def test_words_have_their_times_in_the_session(make_session, engine):
    events = await events_of(make_session(engine), engine, 4.0)
    [completed] = [event for event in events if isinstance(event, Completed)]
    assert "".join(word.text for word in completed.words) == completed.text
    starts = [word.start for word in completed.words]
    assert starts == sorted(starts)
    assert completed.start <= starts[0]
    assert completed.words[-1].end <= completed.end


async def test_partials_have_no_thresholds_and_the_last_window_those_of_a_recording(
    make_session, engine
):
    await events_of(make_session(engine), engine, 4.0)
    *partials, final = [window for step in engine.steps for window in step]
    assert all(is_partial(window) for window in partials)
    assert final.options.thresholds == POLICY.thresholds
    assert {window.options.prefix for window in [*partials, final]} == {None}


async def test_words_that_are_contradicted_stay_and_become_a_prefix(make_session, engine):
    def transcribe(window):
        result = engine.written(window)
        if window.options.prefix is not None or window.seconds < 2.0:
            return result
        return renamed(result, "other")

    engine.transcribe = transcribe
    events = await events_of(make_session(engine), engine, 4.0)
    *partials, whole, final = [window for step in engine.steps for window in step]
    assert any(window.options.prefix for window in partials)
    assert whole.options.prefix is None
    assert final.options.prefix
    [text] = texts(events)
    assert text.split() == [f"w{n}" for n in range(len(text.split()))]
    assert len(text.split()) >= 8


def renamed(result, name):
    """Give a result's words another name."""
    words = tuple(
        replace(word, text=word.text.replace("w", name))
        for segment in result.segments
        for word in segment.words
    )
    text = "".join(word.text for word in words)
    return replace(result, segments=(replace(result.segments[0], text=text, words=words),))


async def test_a_partial_in_the_engine_is_dropped_when_the_speech_ends(make_session, engine):
    async with make_session(engine) as session:
        engine.gate.clear()
        session.append(said(0.0))
        await eventually(lambda: any(engine.steps))
        [partial] = engine.steps[-1]
        session.append(said(1.0, seconds=0.0))
        await eventually(lambda: session._turns.takes[0].is_complete)
        engine.gate.set()
        await eventually(lambda: partial in engine.dropped)
        session.finish()
        events = [event async for event in session.events()]
    assert len(texts(events)) == 1


async def test_a_partial_that_waits_gives_its_place_to_a_newer_one(make_sessions, engine):
    sessions = make_sessions(engine)
    engine.gate.clear()
    async with sessions.open(LiveOptions(PCM)) as first, sessions.open(LiveOptions(PCM)) as second:
        first.append(said(0.0))
        await eventually(lambda: any(engine.steps))
        for n in range(4):
            second.append(said(0.0))
            await eventually(lambda n=n: second.seconds >= n + 1)
        await eventually(
            lambda: any(
                len(pending.window.samples) > 60_000
                for request in sessions._scheduler._requests
                for pending in request.unfinished
            )
        )
        engine.gate.set()
        await eventually(lambda: len([w for step in engine.steps for w in step]) >= 2)
    [_, waited, *_] = [window for step in engine.steps for window in step]
    assert waited.seconds > 3.5


async def test_an_engine_that_takes_no_prefix_gets_one_window_for_each_utterance(
    make_session, engine
):
    engine.info = replace(engine.info, can_prefix=False)
    events = await told(make_session(engine), said(1.0, 1.0, seconds=3.0))
    windows = [window for step in engine.steps for window in step]
    assert [window.options.prefix for window in windows] == [None, None]
    assert len(texts(events)) == 2


async def test_too_little_speech_is_not_sent_to_the_engine(make_session, engine):
    async with make_session(engine, LiveOptions(PCM, turns=None)) as session:
        session.append(said(0.5, seconds=0.15))
        session.commit()
        session.finish()
        events = [event async for event in session.events()]
    assert texts(events) == [""]
    assert not engine.steps


async def test_a_doubted_end_is_decoded_once_more_behind_the_words_that_stay(make_session, engine):
    def transcribe(window):
        result = engine.written(window)
        if is_partial(window) or window.options.prompt:
            return result
        return replace(result, segments=(), rejected="unlikely")

    engine.transcribe = transcribe
    events = await events_of(make_session(engine), engine, 4.0)
    *_, whole, final, again = [window for step in engine.steps for window in step]
    assert whole.options.prefix is None
    assert final.options.prefix
    assert again.options.prefix is None
    assert again.options.prompt == final.options.prefix
    assert again.seconds < final.seconds
    [text] = texts(events)
    assert text.startswith(final.options.prefix + " w0")


async def test_a_text_that_repeats_itself_is_not_given_out_early(make_session, engine):
    def transcribe(window):
        result = engine.written(window)
        if not is_partial(window) or not result.segments:
            return result
        looping = tuple(replace(word, text=" again") for word in result.segments[0].words * 9)
        text = "".join(word.text for word in looping)
        return replace(result, segments=(replace(result.segments[0], text=text, words=looping),))

    engine.transcribe = transcribe
    events = await events_of(make_session(engine), engine, 4.0)
    [text] = texts(events)
    assert "again" not in text
    assert [type(event) for event in events].count(Delta) == 1


async def test_an_utterance_in_no_clear_language_has_the_language_of_those_before(
    make_session, engine
):
    async with make_session(engine) as session:
        await spoken(session, engine, 2.0)
        session.append(said(1.0, seconds=0.0))
        await eventually(lambda: not session._turns.takes and session.seconds > 2.9)
        engine.detected = {"es": 0.4, "en": 0.3}
        await spoken(session, engine, 2.0)
        session.append(said(1.0, seconds=0.0))
        session.finish()
        events = [event async for event in session.events()]
    languages = [event.language for event in events if isinstance(event, Completed)]
    assert languages == ["en", "en"]


async def test_no_words_are_given_out_while_the_language_is_unclear(make_session, engine):
    engine.detected = {"es": 0.4, "en": 0.3}
    events = await events_of(make_session(engine), engine, 2.4)
    assert [type(event) for event in events].count(Delta) == 1
    assert events[-1].language == "es"


async def test_a_language_that_is_asked_for_holds_from_the_first_partial_on(make_session, engine):
    options = LiveOptions(PCM, options=Options(language="es"))
    events = await events_of(make_session(engine, options), engine, 3.0)
    assert {w.options.language for step in engine.steps for w in step} == {"es"}
    assert events[-1].language == "es"


async def test_a_partial_that_fails_costs_nothing(make_session, engine):
    def transcribe(window):
        if is_partial(window):
            return WindowResult(window, error=TranscriptionFailed("the numbers overflowed"))
        return engine.written(window)

    engine.transcribe = transcribe
    events = await events_of(make_session(engine), engine, 2.0)
    assert texts(events) == [" w0 w1 w2 w3 w4"]


async def test_a_last_window_that_fails_behind_its_prefix_is_decoded_from_there_on(
    make_session, engine
):
    def transcribe(window):
        if window.options.prefix:
            return WindowResult(window, error=BadRequest("the prefix has too many tokens"))
        result = engine.written(window)
        return result if is_partial(window) or window.options.prompt else renamed(result, "other")

    engine.transcribe = transcribe
    events = await events_of(make_session(engine), engine, 4.0)
    assert not any(isinstance(event, Failed) for event in events)
    [text] = texts(events)
    assert text.count(" w0") == 2


class UnsureEngine(TalkingEngine):
    """Is surer of words behind others, and marks them with a plus."""

    alone, behind = 0.4, 0.9  # the probability of words in windows without and with context

    def written(self, window):
        result = super().written(window)
        has_context = window.start == 0.0 and window.seconds > 2.5
        mark, probability = ("+", self.behind) if has_context else ("-", self.alone)
        words = tuple(
            replace(word, probability=probability, text=word.text + mark)
            for segment in result.segments
            for word in segment.words
        )
        text = "".join(word.text for word in words)
        segments = tuple(replace(segment, text=text, words=words) for segment in result.segments)
        return replace(result, segments=segments)


async def told_twice(make_session, engine) -> tuple[list, list]:
    """Say two short utterances; return the whole windows of the second one, and the texts."""
    events = await told(make_session(engine), said(1.0, 1.0, seconds=1.0))
    whole = [window for step in engine.steps for window in step if not is_partial(window)]
    first, *windows = whole
    assert first.start == 0.0
    return windows, texts(events)


async def test_an_unsure_short_utterance_is_decoded_behind_what_was_said_before(make_session):
    windows, found = await told_twice(make_session, UnsureEngine())
    alone, behind = windows
    assert alone.start > 1.0
    assert (behind.start, behind.end) == (0.0, alone.end)
    assert behind.options.prefix is None
    assert behind.options.language == "en"
    assert "-" in found[0]
    assert "+" in found[1]
    assert "-" not in found[1]


async def test_windows_that_are_decoded_in_context_are_counted(make_session):
    session = make_session(UnsureEngine())
    await told(session, said(1.0, 1.0, seconds=1.0))
    registry = session._setup.metrics.registry
    assert registry.get_sample_value("asr_live_windows_in_context_total") == 1  # not the first


@pytest.mark.parametrize("certainty", [0.0, 1.0])
async def test_a_doubted_text_needs_a_sure_voice_in_context_too(
    make_session, monkeypatch, certainty
):
    """What a sound is taken for stays doubted, however well it goes on from what was said."""

    def transcribe(window):
        result = engine.written(window)
        if window.start == 0.0:
            return result
        doubted = tuple(replace(each, doubt="unlikely") for each in result.segments)
        return replace(result, segments=doubted)

    engine = UnsureEngine()
    engine.transcribe = transcribe
    monkeypatch.setattr(LoudTrack, "certainty", lambda *_: certainty)
    windows, found = await told_twice(make_session, engine)
    assert windows[1].start == 0.0
    assert ("+" in found[1]) == bool(found[1]) == bool(certainty)


async def test_what_has_no_text_gets_none_from_its_context(make_session):
    def transcribe(window):
        result = engine.written(window)
        return result if window.start == 0.0 else replace(result, segments=())

    engine = UnsureEngine()
    engine.transcribe = transcribe
    windows, found = await told_twice(make_session, engine)
    assert all(window.start > 1.0 for window in windows)
    assert found[1] == ""


async def test_a_text_that_context_makes_no_surer_stays(make_session):
    engine = UnsureEngine()
    engine.behind = engine.alone
    windows, found = await told_twice(make_session, engine)
    assert [window.options.prefix for window in windows] == [None, None, found[0]]
    assert "+" not in found[1]


async def test_a_sure_utterance_is_decoded_once(make_session):
    engine = UnsureEngine()
    engine.alone = 0.95
    windows, _ = await told_twice(make_session, engine)
    assert len(windows) == 1


async def test_words_that_were_given_out_stay_whatever_context_says(make_session):
    engine = UnsureEngine()
    events = await told(make_session(engine), said(1.0, seconds=1.0))
    async with make_session(engine) as session:
        session.append(said(1.0, seconds=1.0))
        await eventually(lambda: is_quiet(session) and session.seconds > 1.9)
        await eventually(lambda: not session._turns.takes)
        await spoken(session, engine, 2.8)
        session.append(said(1.0, seconds=0.0))
        session.finish()
        events = [event async for event in session.events()]
    stopped = [n for n, event in enumerate(events) if isinstance(event, SpeechStopped)]
    early = "".join(e.text for e in events[stopped[0] + 3 : stopped[1]] if isinstance(e, Delta))
    assert early
    assert texts(events)[1].startswith(early)


def polite(window):
    """Write a text where nobody speaks, and one at the end that is doubted."""
    ghost = Segment(2.0, 3.0, " Thank you.")
    doubted = Segment(window.seconds - 0.05, window.seconds, " You.", doubt="unlikely")
    written = [Segment(0.0, 0.5, " Hello."), *([ghost] if window.seconds > 2.5 else [doubted])]
    return WindowResult(window, tuple(written) if window.start < 0.5 else (), "en")


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize(
    ("options", "pause"),
    [(replace(DETECTED, turns=None), 2.5), (DETECTED, 0.6)],
    ids=["committed", "detected"],
)
async def test_a_text_does_not_depend_on_what_is_heard_before_it_comes(
    make_session, options, pause, is_late
):
    engine = FakeEngine(transcribe=polite)
    if is_late:
        engine.gate.clear()
    async with make_session(engine, options) as session:
        session.append(said(pause, seconds=0.5))
        if options.turns is None:
            session.commit()
        if not is_late:
            await eventually(lambda: any(engine.steps) and not session._turns.takes)
        session.append(said(6.0, seconds=1.0))
        await eventually(lambda: session.seconds > 5.0)
        engine.gate.set()
        session.finish()
        events = [event async for event in session.events()]
    assert texts(events)[0] == " Hello."
