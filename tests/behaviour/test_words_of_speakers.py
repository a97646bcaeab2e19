"""Where it is asked who speaks, words have speakers, and the text stays the same."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from asr.config.config import Config
from asr.errors import ConfigError, DiarizationFailed, DiarizerUnavailable
from asr.metrics import Metrics
from asr.options import KnownSpeaker, Options, SpeakerOptions
from asr.transcription.diarizing.means import DiarizationMeans
from asr.transcription.policy import RequestPolicy
from asr.transcription.scheduled_request import Timings
from asr.transcription.service import open_service
from asr.transcription.speakers import with_speakers
from tests.conftest import eventually, wav
from tests.support.fake_diarizer import QUIET_VOICE, FakeDiarizer
from tests.support.fake_engine import FakeEngine, SpeakingEngine
from tests.support.spoken import dialogue, worded
from tests.support.transcribers import whole

ASKED = Options(language="en", speakers=SpeakerOptions())
SOUND = wav(dialogue(3.0, 2.0, 4.0, 1.5, 1.5))


def engine(has_words: bool = True, made: type[FakeEngine] = FakeEngine) -> FakeEngine:
    return made(transcribe=worded, info=replace(FakeEngine.info, has_words=has_words))


def by_speaker(transcript) -> list[tuple[str, str]]:
    return [(part.text, part.speaker.label) for part in transcript.segments]


@pytest.mark.parametrize("has_words", [True, False])
@pytest.mark.parametrize("window_seconds", [30.0, 5.0])
async def test_segments_are_split_where_the_speaker_changes(
    make_transcriber, has_words, window_seconds
):
    transcriber = make_transcriber(
        engine(has_words), diarizer=FakeDiarizer(), window_seconds=window_seconds
    )
    found, timings = await transcriber.transcribe(whole(SOUND), ASKED)
    spoken = {"SPEAKER_00": "", "SPEAKER_01": ""}
    for part in found.segments:
        spoken[part.speaker.label] += part.text
    quiet = [number for number in range(24) if 3.0 <= number / 2 < 5.0 or 9.0 <= number / 2 < 10.5]
    loud = [number for number in range(24) if number not in quiet]
    assert spoken["SPEAKER_00"].split() == [f"w{number:02}" for number in loud]
    assert spoken["SPEAKER_01"].split() == [f"w{number:02}" for number in quiet]
    assert [turn.end for turn in found.turns] == [3.0, 5.0, 9.0, 10.5, 12.0]
    assert timings.diarized == 12.0


@pytest.mark.parametrize(
    ("timestamps", "rule", "has_words"),
    [
        ("word", "auto", True),
        ("word", "segments", True),
        *itertools.product(["segment", "none"], ["auto", "segments", "none"], [True, False]),
    ],
)
async def test_the_text_is_the_same_with_and_without_and_words_are_shown_where_asked(
    make_transcriber, timestamps, rule, has_words
):
    transcriber = make_transcriber(
        engine(has_words),
        diarizer=FakeDiarizer(),
        window_seconds=5.0,
        policy=RequestPolicy(timestamps=rule),
    )
    plain = Options(language="en", timestamps=timestamps)
    without, _ = await transcriber.transcribe(whole(SOUND), plain)
    asked, _ = await transcriber.transcribe(whole(SOUND), replace(plain, speakers=SpeakerOptions()))
    assert asked.text == without.text
    assert len(by_speaker(asked)) > len(without.segments)
    words = [word for part in asked.segments for word in part.words]
    assert words == [word for part in without.segments for word in part.words]
    assert bool(words) == (timestamps == "word")
    assert all(part.unasked_words == () for part in asked.segments)
    assert without.turns is None


async def test_no_engine_is_told_of_speakers(make_transcriber):
    fake = engine()
    transcriber = make_transcriber(fake, diarizer=FakeDiarizer())
    await transcriber.transcribe(whole(SOUND), ASKED)
    [window] = [window for step in fake.steps for window in step]
    assert window.options == Options(
        language="en", timestamps="word", condition_on_previous_text=None
    )


async def test_a_stream_has_its_turns_in_the_last_part(make_transcriber):
    fake = engine(made=SpeakingEngine)
    fake.gate.set()
    transcriber = make_transcriber(fake, diarizer=FakeDiarizer(), window_seconds=5.0)
    *parts, last = [part async for part in transcriber.parts(whole(SOUND), ASKED, Timings())]
    assert {part.turns for part in parts} == {None}
    assert all(segment.words == () for part in parts for segment in part.segments)
    segments = tuple(segment for part in [*parts, last] for segment in part.segments)
    joined = with_speakers(replace(last, segments=segments))
    whole_answer, _ = await transcriber.transcribe(whole(SOUND), ASKED)
    assert by_speaker(joined) == by_speaker(whole_answer)


async def test_text_is_streamed_while_the_diarizer_is_behind(make_transcriber):
    diarizer = FakeDiarizer()
    diarizer.gate.clear()
    transcriber = make_transcriber(engine(), diarizer=diarizer, window_seconds=5.0)
    parts = transcriber.parts(whole(SOUND), ASKED, Timings())
    text = ""
    while text.count(" ") < 24:
        text += (await anext(parts)).text
    diarizer.gate.set()
    assert [part.turns async for part in parts][-1] is not None


async def test_known_speakers_have_their_names(make_transcriber):
    transcriber = make_transcriber(engine(), diarizer=FakeDiarizer())
    known = (KnownSpeaker("Ann", QUIET_VOICE), KnownSpeaker("Zoë", (-1.0, 0.0)))
    options = replace(ASKED, speakers=SpeakerOptions(known=known))
    found, _ = await transcriber.transcribe(whole(SOUND), options)
    labels = [label for _, label in by_speaker(found)]
    assert labels == ["SPEAKER_00", "Ann", "SPEAKER_00", "Ann", "SPEAKER_00"]
    assert found.warnings == ("the voice of the known speaker 'Zoë' is not heard in the audio",)


async def test_silence_has_no_speakers_and_is_no_error(make_transcriber):
    transcriber = make_transcriber(engine(), diarizer=FakeDiarizer())
    found, _ = await transcriber.transcribe(whole(wav(0.0 * dialogue(40.0))), ASKED)
    assert (found.segments, found.turns) == ((), ())


@pytest.mark.parametrize("failing", ["begin", "advance", "finish"])
async def test_a_failing_diarizer_fails_its_request_and_no_other(make_transcriber, failing):
    fake, diarizer = engine(), FakeDiarizer(failing=failing)
    transcriber = make_transcriber(fake, diarizer=diarizer, window_seconds=5.0)
    with pytest.raises(DiarizationFailed, match="the diarizer failed"):
        await transcriber.transcribe(whole(SOUND), ASKED)
    without, _ = await transcriber.transcribe(whole(SOUND), Options())
    assert len(without.text.split()) == 24
    diarizer.failing = ""
    found, _ = await transcriber.transcribe(whole(SOUND), ASKED)
    assert len(by_speaker(found)) >= 5


async def test_a_failure_while_the_engine_is_busy_ends_the_request_at_once(make_transcriber):
    fake = engine()
    fake.gate.clear()
    transcriber = make_transcriber(fake, diarizer=FakeDiarizer(failing="advance"))
    with pytest.raises(DiarizationFailed):
        await transcriber.transcribe(whole(SOUND), ASKED)


async def test_a_caller_that_leaves_frees_its_session(make_transcriber):
    fake, diarizer = engine(), FakeDiarizer()
    fake.gate.clear()
    diarizer.gate.clear()
    transcriber = make_transcriber(fake, diarizer=diarizer, window_seconds=5.0)
    running = asyncio.create_task(transcriber.transcribe(whole(SOUND), ASKED))
    await eventually(lambda: diarizer.alive and fake.steps)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    diarizer.gate.set()
    await eventually(lambda: not diarizer.alive)
    fake.gate.set()


async def test_a_long_recording_waits_for_the_diarizer_and_others_do_not(make_transcriber):
    diarizer, timings = FakeDiarizer(), Timings()
    diarizer.gate.clear()
    transcriber = make_transcriber(engine(), diarizer=diarizer)
    sound = whole(wav(dialogue(*[20.0] * 20)))

    async def run():
        return [part async for part in transcriber.parts(sound, ASKED, timings)]

    running = asyncio.create_task(run())
    await eventually(lambda: timings.audio > 60 and timings.done > 30)
    for _ in range(3):
        await transcriber.transcribe(whole(wav(dialogue(100.0))), Options())
    assert timings.audio < 90
    diarizer.gate.set()
    parts = await running
    assert parts[-1].duration == 400.0
    assert len(parts[-1].turns) == 20


async def test_a_diarizer_that_cannot_be_loaded_fails_those_who_ask(make_transcriber):
    def load():
        raise ConfigError("DIARIZER=builtin: the weights are missing")

    transcriber = make_transcriber(engine(), diarization=DiarizationMeans(load, Metrics()))
    with pytest.raises(DiarizerUnavailable, match="the weights are missing"):
        await transcriber.transcribe(whole(SOUND), ASKED)
    assert (await transcriber.transcribe(whole(SOUND), Options()))[0].text


@pytest.mark.parametrize(
    ("settings", "loads", "has_diarizer"),
    [
        ({}, 0, True),
        ({"diarizer_preload": True}, 1, True),
        ({"diarizer": "off", "diarizer_preload": True}, 0, False),
    ],
)
async def test_the_settings_say_whether_and_when_a_diarizer_is_loaded(
    settings, loads, has_diarizer
):
    loaded = []

    def load(config):
        loaded.append(config.diarizer)
        return FakeDiarizer()

    config = Config(vad="off", **settings)
    async with open_service(config, Metrics(), lambda _: engine(), load) as service:
        assert len(loaded) == loads
        assert service.transcriber.server_info.has_diarizer == has_diarizer


async def test_a_diarizer_that_cannot_be_loaded_stops_a_start_that_wants_it():
    def load(_):
        raise ConfigError("DIARIZER=pyannote: pyannote.audio is not installed")

    config = Config(vad="off", diarizer_preload=True)
    with pytest.raises(ConfigError, match="is not installed"):
        async with open_service(config, Metrics(), lambda _: engine(), load):
            pass
