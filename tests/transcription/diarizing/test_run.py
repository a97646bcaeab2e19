"""Who speaks is told without any text, in the order and within the bounds of other requests."""

import asyncio

import pytest

from asr.errors import BadAudio, BadRequest, DiarizationFailed, QueueFull
from asr.options import KnownSpeaker, Options, SpeakerOptions
from asr.pcm import SAMPLE_RATE
from asr.transcription.scheduled_request import Timings
from tests.conftest import eventually, tone, wav
from tests.support.fake_diarizer import QUIET_VOICE, FakeDiarizer
from tests.support.fake_engine import FakeEngine
from tests.support.spoken import dialogue
from tests.support.transcribers import whole


async def test_turns_are_told_and_no_engine_is_used(make_transcriber):
    engine, timings = FakeEngine(), Timings()
    transcriber = make_transcriber(engine, diarizer=FakeDiarizer())
    sound = whole(wav(dialogue(2.0, 1.0, 40.0)))
    found = await transcriber.speakers(sound, Options(), timings)
    turns = [(turn.start, turn.end, turn.speaker.label) for turn in found.turns]
    first, second = "SPEAKER_00", "SPEAKER_01"
    assert turns == [(0.0, 2.0, first), (2.0, 3.0, second), (3.0, 43.0, first)]
    assert (found.segments, found.language, found.duration) == ((), None, 43.0)
    assert engine.steps == []
    assert timings.audio == timings.done == timings.diarized == 43.0


async def test_known_voices_have_their_names_and_unheard_ones_are_reported(make_transcriber):
    transcriber = make_transcriber(FakeEngine(), diarizer=FakeDiarizer())
    known = (KnownSpeaker("Ann", QUIET_VOICE), KnownSpeaker("Bob", (0.0, -1.0)))
    options = Options(speakers=SpeakerOptions(known=known))
    found = await transcriber.speakers(whole(wav(dialogue(2.0, 2.0))), options, Timings())
    assert [turn.speaker.label for turn in found.turns] == ["SPEAKER_00", "Ann"]
    assert found.warnings == ("the voice of the known speaker 'Bob' is not heard in the audio",)


async def test_where_nobody_speaks_there_are_no_turns(make_transcriber):
    transcriber = make_transcriber(FakeEngine(), diarizer=FakeDiarizer())
    found = await transcriber.speakers(whole(wav(0.0 * tone(5.0))), Options(), Timings())
    assert (found.turns, found.warnings) == ((), ())


async def test_a_long_recording_is_decoded_no_faster_than_it_is_told_apart(make_transcriber):
    diarizer, timings = FakeDiarizer(), Timings()
    diarizer.gate.clear()
    transcriber = make_transcriber(FakeEngine(), diarizer=diarizer)
    sound = wav(dialogue(*[10.0] * 30))
    running = asyncio.create_task(transcriber.speakers(whole(sound), Options(), timings))
    await eventually(lambda: timings.audio > 60)
    other = make_transcriber(FakeEngine(), diarizer=FakeDiarizer())
    await other.speakers(whole(sound), Options(), Timings())  # time enough
    assert timings.audio < 90
    diarizer.gate.set()
    assert (await running).duration == 300.0


async def test_a_request_is_refused_where_there_is_no_room(make_transcriber):
    diarizer = FakeDiarizer()
    diarizer.gate.clear()
    transcriber = make_transcriber(FakeEngine(), diarizer=diarizer, max_queue_seconds=20.0)
    sound = wav(dialogue(15.0))
    first = asyncio.create_task(transcriber.speakers(whole(sound), Options(), Timings()))
    await eventually(lambda: diarizer.threads)
    with pytest.raises(QueueFull):
        await transcriber.speakers(whole(sound), Options(), Timings())
    diarizer.gate.set()
    assert (await first).duration == 15.0
    assert (await transcriber.speakers(whole(sound), Options(), Timings())).duration == 15.0


async def test_a_caller_that_leaves_ends_the_work(make_transcriber):
    diarizer, timings = FakeDiarizer(), Timings()
    diarizer.gate.clear()
    transcriber = make_transcriber(FakeEngine(), diarizer=diarizer)
    sound = whole(wav(dialogue(50.0)))
    running = asyncio.create_task(transcriber.speakers(sound, Options(), timings))
    await eventually(lambda: diarizer.threads and timings.audio == 50.0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    diarizer.gate.set()
    await eventually(lambda: not diarizer.alive)
    assert len(diarizer.order) <= 1


async def test_a_failure_of_the_diarizer_is_told(make_transcriber):
    transcriber = make_transcriber(FakeEngine(), diarizer=FakeDiarizer(failing="advance"))
    with pytest.raises(DiarizationFailed):
        await transcriber.speakers(whole(wav(tone(3.0))), Options(), Timings())


async def test_a_source_that_fails_frees_its_session(make_transcriber):
    diarizer = FakeDiarizer()
    transcriber = make_transcriber(FakeEngine(), diarizer=diarizer)

    async def body():
        yield wav(tone(60.0))
        await eventually(lambda: diarizer.alive)
        raise BadAudio("torn off")

    with pytest.raises(BadAudio, match="torn off"):
        await transcriber.speakers(body(), Options(), Timings())
    await eventually(lambda: not diarizer.alive)


async def test_a_server_without_a_diarizer_refuses(make_transcriber):
    transcriber = make_transcriber(FakeEngine())
    with pytest.raises(BadRequest, match="DIARIZER=off"):
        await transcriber.speakers(whole(wav(tone(1.0))), Options(), Timings())


async def test_what_waits_for_the_diarizer_counts_as_audio_of_its_request(make_transcriber):
    diarizer = FakeDiarizer()
    diarizer.gate.clear()
    transcriber = make_transcriber(FakeEngine(), diarizer=diarizer)
    running = asyncio.create_task(
        transcriber.speakers(whole(wav(dialogue(25.0))), Options(), timings := Timings())
    )
    await eventually(lambda: timings.audio == 25.0)
    assert transcriber._scheduler.queue_seconds * SAMPLE_RATE == 25.0 * SAMPLE_RATE
    diarizer.gate.set()
    await running
    assert transcriber._scheduler.queue_seconds == 0.0
