"""A session's audio is divided into utterances, by the detector or by the client."""

import numpy as np
import pytest

from asr.live.events import Cleared, CommandRefused, Committed, SpeechStarted, SpeechStopped
from asr.live.options import LiveOptions
from asr.live.outbox import Outbox
from asr.live.turns import LiveTurns
from asr.live.voice import JudgedAudio, VoiceTrack
from tests.conftest import tone
from tests.support.live import LoudTrack, silence

DETECTED = LiveOptions()
MANUAL = LiveOptions(turns=None)


class Session:
    """Feeds sounds to the turns of a session and keeps what is told."""

    def __init__(self, options: LiveOptions = DETECTED) -> None:
        self.outbox = Outbox()
        self.turns = LiveTurns(options, 30.0, self.outbox)
        self._voice = VoiceTrack(LoudTrack())

    def hear(self, *sounds: np.ndarray) -> None:
        samples = np.concatenate(sounds)
        for place in range(0, len(samples), 1600):
            part = samples[place : place + 1600]
            self.turns.push(JudgedAudio(part, self._voice.push(part, 0.5)))

    async def told(self) -> list:
        self.outbox.end()
        return [event async for event in self.outbox.events()]


async def test_an_utterance_is_told_with_its_times_and_its_predecessor():
    session = Session()
    session.hear(silence(1), tone(1), silence(1), tone(1), silence(1))
    first, second = session.turns.takes
    a, b = first.utterance.id, second.utterance.id
    assert await session.told() == [
        SpeechStarted(a, pytest.approx(0.7, abs=0.04)),
        SpeechStopped(a, pytest.approx(2.5, abs=0.04)),
        Committed(a, None),
        SpeechStarted(b, pytest.approx(2.7, abs=0.04)),
        SpeechStopped(b, pytest.approx(4.5, abs=0.04)),
        Committed(b, a),
    ]
    assert (first.end - first.start) / 16_000 == pytest.approx(1.8, abs=0.07)


async def test_the_audio_of_utterances_is_what_was_sent():
    session = Session()
    sounds = np.concatenate([silence(1), tone(40), silence(1), tone(1)])
    session.hear(sounds)
    session.turns.finish()
    for take in session.turns.takes:
        assert np.array_equal(take.samples, sounds[take.start : take.end])
    first, second, third = session.turns.takes
    assert first.end == second.start
    assert third.end == len(sounds)


async def test_minutes_of_silence_keep_no_audio():
    session = Session()
    session.hear(silence(300))
    assert not session.turns.takes
    assert len(session.turns._before) < 16_000
    assert await session.told() == []


async def test_a_client_that_commits_gets_one_utterance_for_each_commit():
    session = Session(MANUAL)
    session.hear(silence(1), tone(1.03))
    session.turns.commit("one")
    session.hear(tone(45))
    session.turns.commit("two")
    first, second, rest = session.turns.takes
    assert second.utterance is rest.utterance is not first.utterance
    assert (first.is_last, second.is_last, rest.is_last) == (True, False, True)
    assert first.end == second.start
    a, b = first.utterance.id, second.utterance.id
    assert await session.told() == [Committed(a, None), Committed(b, a)]


async def test_a_commit_of_too_little_is_refused_and_the_audio_stays():
    session = Session(MANUAL)
    session.turns.commit("none")
    session.hear(tone(0.09))
    session.turns.commit("little")
    session.hear(tone(0.02))
    session.turns.commit("enough")
    empty, little, committed = await session.told()
    assert isinstance(empty, CommandRefused)
    assert (empty.tag, little.tag) == ("none", "little")
    assert "has 0 ms of audio" in str(empty.error)
    assert "has 90 ms of audio" in str(little.error)
    assert isinstance(committed, Committed)


async def test_a_commit_while_somebody_speaks_ends_the_utterance_there():
    session = Session()
    session.hear(tone(1.01))
    session.turns.commit(None)
    session.hear(tone(1), silence(1))
    first, second = session.turns.takes
    assert first.end == second.start == round(1.01 * 16_000)
    kinds = [type(event) for event in await session.told()]
    assert kinds == 2 * [SpeechStarted, SpeechStopped, Committed]


async def test_cleared_audio_is_forgotten_and_times_go_on():
    session = Session()
    session.hear(tone(1))
    session.turns.clear()
    assert session.turns.takes[0].utterance.is_dropped
    session.hear(silence(1), tone(1), silence(1))
    started, cleared, again, *_ = await session.told()
    assert cleared == Cleared()
    assert isinstance(started, SpeechStarted)
    assert again.at == pytest.approx(1.7, abs=0.04)


async def test_clearing_nothing_is_answered_too():
    session = Session(MANUAL)
    session.turns.clear()
    assert await session.told() == [Cleared()]


async def test_what_is_open_ends_where_another_mode_begins():
    session = Session()
    session.hear(tone(1))
    session.turns.configure(MANUAL)
    session.hear(silence(1), tone(1))
    session.turns.configure(LiveOptions())
    session.hear(tone(1), silence(1))
    first, second, third = session.turns.takes
    assert (first.end, second.end) == (second.start, third.start)
    kinds = [type(event) for event in await session.told()]
    turn = [SpeechStarted, SpeechStopped, Committed]
    assert kinds == [*turn, Committed, *turn]
