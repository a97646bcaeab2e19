"""Utterances are complete when it is known who speaks, in order, and in bounded memory."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from asr.live.events import Completed, Delta, SpeakersUnknown, SpokenSegment
from asr.live.options import LiveOptions
from asr.live.session import LiveSession
from asr.live.speakers import completions
from asr.metrics import Metrics
from asr.options import Options, SpeakerOptions
from asr.transcription.diarizing.means import DiarizationMeans
from tests.conftest import eventually, tone
from tests.support.fake_diarizer import FakeDiarizer
from tests.support.live import PCM, TalkingEngine, pcm, said, silence, texts, told

WHO = LiveOptions(PCM, options=Options(speakers=SpeakerOptions()))
LOUD, QUIET = 1.0, 0.2  # of a test's tone, for two voices of the fake diarizer


def spoken(*parts: tuple[float, float]) -> bytes:
    """Return tones, each as loud and as long; a second of silence follows each."""
    return pcm(*(part for loud, s in parts for part in (tone(s) * loud, silence(1.0))))


@pytest.fixture
def diarizer() -> FakeDiarizer:
    return FakeDiarizer()


@pytest.fixture
async def session(
    make_session: Callable[..., LiveSession], diarizer: FakeDiarizer
) -> AsyncIterator[Callable[..., LiveSession]]:
    """Return a function that opens sessions of a server with the fake diarizer."""
    means = DiarizationMeans(lambda: diarizer, Metrics())
    yield lambda options=WHO: make_session(TalkingEngine(), options, diarization=means)
    diarizer.gate.set()
    means.close()


def speakers(events: list) -> list[tuple[str, str]]:
    return [(e.speaker.letter, e.text) for e in events if isinstance(e, SpokenSegment)]


async def test_people_keep_their_letters_from_utterance_to_utterance(session, diarizer):
    events = await told(session(), spoken((LOUD, 2.0), (QUIET, 2.0), (LOUD, 1.5)))
    assert [letter for letter, _ in speakers(events)] == ["A", "B", "A"]
    assert "".join(text for _, text in speakers(events)) == "".join(texts(events))
    kinds = [type(e) for e in events if isinstance(e, SpokenSegment | Completed)]
    assert kinds == [SpokenSegment, Completed] * 3
    told_of = [e for e in events if isinstance(e, SpokenSegment)]
    assert [e.number for e in told_of] == [0, 1, 2]
    assert [e.item_id for e in told_of] == [e.item_id for e in events if isinstance(e, Completed)]
    assert told_of[1].start == pytest.approx(3.0, abs=0.4)
    assert threading.get_ident() not in diarizer.threads


async def test_an_utterance_of_two_people_has_a_segment_for_each(session):
    [loud, quiet] = tone(2.0) * LOUD, tone(2.0) * QUIET
    events = await told(session(), pcm(loud, quiet, silence(1.0)))
    assert [letter for letter, _ in speakers(events)] == ["A", "B"]
    assert "".join(text for _, text in speakers(events)) == texts(events)[0]
    [first, second] = [e for e in events if isinstance(e, SpokenSegment)]
    assert 1.5 <= first.end <= second.start + 0.01 <= 2.6


async def test_who_does_not_ask_gets_no_segments_and_no_diarizer_works(session, diarizer):
    events = await told(session(LiveOptions(PCM)), spoken((LOUD, 2.0)))
    assert texts(events)
    assert not speakers(events)
    assert not diarizer.begun


async def test_a_diarizer_that_fails_costs_no_text_and_says_why(session, diarizer):
    diarizer.failing = "advance"
    async with session() as live:
        live.append(spoken((LOUD, 2.0)))
        await eventually(lambda: diarizer.begun and not live._completions._windows)
        diarizer.failing = ""
        live.append(spoken((QUIET, 2.0)))
        live.finish()
        events = [event async for event in live.events()]
    assert len(texts(events)) == 2
    [unknown] = [e for e in events if isinstance(e, SpeakersUnknown)]
    assert "the diarizer failed on this audio" in str(unknown.error)
    assert type(events[events.index(unknown) + 1]) is Completed
    assert [letter for letter, _ in speakers(events)] == ["A"]


async def test_speech_too_short_for_a_voice_has_a_segment_without_speaker(session, diarizer):
    diarizer.table = []
    events = await told(session(), spoken((LOUD, 2.0)))
    [segment] = [e for e in events if isinstance(e, SpokenSegment)]
    assert (segment.speaker, segment.text) == (None, texts(events)[0])


async def test_words_come_while_the_diarizer_works_and_utterances_end_in_order(session, diarizer):
    diarizer.gate.clear()
    async with session() as live:
        live.append(spoken((LOUD, 2.0)))
        await eventually(lambda: diarizer.begun)
        live.configure(LiveOptions(PCM))  # the next one need not wait for a diarizer
        live.append(spoken((QUIET, 2.0)))
        await eventually(lambda: len(live._completions._windows) == 2)
        deltas = {e.item_id for e in live._outbox._events if isinstance(e, Delta)}
        assert len(deltas) == 2
        diarizer.gate.set()
        live.finish()
        events = [event async for event in live.events()]
    done = [e for e in events if isinstance(e, Completed)]
    assert [e.start for e in done] == sorted(e.start for e in done)
    assert [letter for letter, _ in speakers(events)] == ["A"]


async def test_audio_waits_for_the_diarizer_and_what_waits_counts(
    session, diarizer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(completions, "LAG_SECONDS", 4.0)
    diarizer.gate.clear()
    async with session() as live:
        for _ in range(9):
            live.append(said(1.0, seconds=2.0))
        live.finish()
        await eventually(lambda: sum(w.seconds for w in live._completions._windows) > 4.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):  # all is read within a tenth of it
                await eventually(lambda: live._inbox.waiting == 0)
        assert live.held > live._inbox.waiting + 4 * 64_000 + completions.DIARIZER_BYTES
        diarizer.gate.set()
        events = [event async for event in live.events()]
        assert live._completions.held == 0
    assert {letter for letter, _ in speakers(events)} == {"A"}
    assert len(speakers(events)) == 9


async def test_a_session_that_is_left_leaves_nothing_at_the_diarizer(session, diarizer):
    diarizer.gate.clear()
    async with session() as live:
        live.append(spoken((LOUD, 2.0)))
        await eventually(lambda: len(diarizer.alive) == 1)
    diarizer.gate.set()
    await eventually(lambda: not diarizer.alive)


async def test_an_utterance_of_several_windows_has_one_person(session):
    long = LiveOptions(PCM, None, Options(speakers=SpeakerOptions()))
    async with session(long) as live:
        live.append(pcm(np.concatenate([tone(2.0), silence(0.5)] * 14)))
        live.commit()
        live.finish()
        events = [event async for event in live.events()]
    assert [letter for letter, _ in speakers(events)] == ["A"]
    assert [e.text for e in events if isinstance(e, SpokenSegment)] == texts(events)
