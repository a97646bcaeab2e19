"""Each channel is transcribed by itself, in one batch, and all text comes in the order of time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asr.audio.decoder import Decoder
from asr.engines.engine import Window, WindowResult
from asr.errors import BadAudio, BadRequest, QueueFull
from asr.metrics import Metrics
from asr.options import AudioPart, Options, SpeakerOptions
from asr.transcript import Transcript
from asr.transcription.channels.channel_set import ChannelSet
from asr.transcription.coverage import MAX_DISTANCE
from asr.transcription.scheduled_request import Timings
from asr.transcription.setup import TranscriptionSetup
from asr.transcription.transcriber import Transcriber
from asr.vad.detector import Detector, Span
from asr.vad.energy import Energy
from models.demo import synthesise
from tests.conftest import RATE, KnownSpeech, eventually, tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.transcribers import whole
from tests.support.two_channels import LOW, two_channels, two_voices

SPLIT = Options(channels="split")
Make = Callable[..., Transcriber]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(transcribe=two_voices)


async def transcribed(transcriber: Transcriber, sound: np.ndarray, options: Options) -> Transcript:
    transcript, _ = await transcriber.transcribe(whole(wav(sound)), options)
    return transcript


def waiting(transcriber: Transcriber) -> int:
    """How many windows wait for the engine."""
    return sum(len(request.waiting) for request in transcriber._scheduler._requests)


def expected(seconds: int) -> list[tuple[int | None, str]]:
    """What `two_voices` say in so many seconds, channel by channel, in the order of time."""
    both = [(0, f" low{n:02}") for n in range(seconds // 2)]
    later = [(1, f" high{n:02}") for n in range(seconds // 2)]
    return [each for pair in zip(both, later, strict=True) for each in pair]


def said(transcript: Transcript) -> list[tuple[int | None, str]]:
    return [(segment.channel, segment.text) for segment in transcript.segments]


@pytest.mark.parametrize(("window_seconds", "stride"), [(30.0, None), (2.0, None), (10.0, 1.0)])
def test_later_audio_changes_nothing_that_decides_about_a_window(
    window_seconds: float, stride: float | None
) -> None:
    detector = Detector(lambda _: Energy())
    setup = TranscriptionSetup(
        Decoder(0.0, 1), FakeEngine().info, Metrics(), window_seconds, stride, detector=detector
    )
    channels = ChannelSet(setup, Options())
    samples = synthesise.recording(70, "en", seed=6).samples
    told: list[tuple[float, list[Span]]] = []
    for start in range(0, len(samples), RATE // 2):
        channels.take(samples[start : start + RATE // 2])
        while (channel := channels.complete) is not None:
            until = channel.cut().end + MAX_DISTANCE
            told.append((until, channel.speech(0.0, until)))
    channels.detect_rest()
    assert told == [(until, channels.all[0].speech(0.0, until)) for until, _ in told]
    assert told


def copies(both: np.ndarray, size: int) -> list[bool]:
    """Whether each window of the second channel is a copy, in blocks of so many samples."""
    setup = TranscriptionSetup(Decoder(0.0, 1), FakeEngine().info, Metrics(), 4.05, 0.5)
    channels = ChannelSet(setup, SPLIT)
    judged: list[bool] = []
    for start in range(0, len(both), size):
        channels.take(both[start : start + size])
        while (channel := channels.complete) is not None:
            window = channel.cut()
            if channel.number:
                judged.append(channels.compare(channel, window))
    return judged


@pytest.mark.parametrize("seconds", [0.3, 4.052, 8.0])
def test_whether_a_channel_is_a_copy_does_not_depend_on_the_blocks(seconds: float) -> None:
    """A window that ends within a hop is compared up to the end of that hop."""
    one, other = two_channels(30.0).T
    is_other = np.arange(len(one)) >= round(4.052 * RATE)
    both = np.stack([one, np.where(is_other, 4 * other, one)], axis=1)
    judged = copies(both, round(seconds * RATE))
    assert judged == copies(both, len(both))
    assert judged[0] is False


@pytest.mark.parametrize("window_seconds", [30.0, 5.0])
async def test_each_channel_has_its_own_text_language_and_place_in_time(
    make_transcriber: Make, engine: FakeEngine, window_seconds: float
) -> None:
    transcriber = make_transcriber(engine, window_seconds)
    found = await transcribed(transcriber, two_channels(20.0), SPLIT)
    starts = [segment.start for segment in found.segments]
    assert starts == sorted(starts)
    texts = [text for _, text in said(found)]
    assert len(set(texts)) == len(texts)
    assert [each for each in said(found) if each in expected(18)] == expected(18)
    assert found.channel_languages == ("en", "es")
    assert found.language == "en"
    assert found.duration == 20.0


async def test_each_language_has_the_probability_with_which_it_was_detected(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    def unsure_at_first(window: Window) -> WindowResult:
        result = two_voices(window)
        if window.options.language is not None:
            return result
        share = 0.4 if window.start == 0 else 0.9
        return replace(result, probabilities={result.language or "": share, "fr": 1 - share})

    engine.transcribe = unsure_at_first
    transcriber = make_transcriber(engine, 5.0)
    found = await transcribed(transcriber, two_channels(20.0), SPLIT)
    assert found.language_probabilities == (0.9, 0.9), "of the window that settles it"
    assert (await transcribed(transcriber, two_channels(4.0), SPLIT)).language_probabilities == (
        0.4,
        0.4,
    )
    asked = await transcribed(transcriber, two_channels(4.0), replace(SPLIT, language="en"))
    assert asked.language_probabilities == (None, None)


async def test_mixed_audio_has_no_channels(make_transcriber: Make, engine: FakeEngine) -> None:
    found = await transcribed(make_transcriber(engine), two_channels(6.0), Options())
    assert {segment.channel for segment in found.segments} == {None}
    assert found.channel_languages is None


@pytest.mark.parametrize(("number", "name"), [(0, "low"), (1, "high")])
async def test_one_channel_alone_is_a_mono_recording(
    make_transcriber: Make, engine: FakeEngine, number: int, name: str
) -> None:
    sound = two_channels(6.0)
    found = await transcribed(make_transcriber(engine), sound, Options(channels=number))
    mono = await transcribed(make_transcriber(engine), sound[:, number], Options())
    assert found == mono
    assert name in found.text


async def test_the_first_windows_of_all_channels_are_in_one_batch(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    engine.gate.clear()
    transcriber = make_transcriber(engine)
    blocker = asyncio.create_task(transcribed(transcriber, two_channels(2.0), Options()))
    await eventually(lambda: len(engine.steps) == 1)
    task = asyncio.create_task(transcribed(transcriber, two_channels(6.0), SPLIT))
    await eventually(lambda: waiting(transcriber) == 2)
    engine.gate.set()
    await asyncio.gather(task, blocker)
    assert [len(step) for step in engine.steps if step] == [1, 2]
    assert all(window.options.channels == "mix" for step in engine.steps for window in step)


async def test_a_language_once_detected_holds_for_its_channel_alone(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    await transcribed(make_transcriber(engine, 5.0), two_channels(20.0), SPLIT)
    asked = [window.options.language for step in engine.steps for window in step]
    assert asked[:2] == [None, None]
    assert set(asked[2:]) == {"en", "es"}
    assert len(asked) >= 8


async def test_the_text_before_a_window_is_that_of_its_channel(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    info = replace(engine.info, can_prompt=True)
    engine.info = info
    options = replace(SPLIT, condition_on_previous_text=True, prompt="Call.")
    await transcribed(make_transcriber(engine, 5.0), two_channels(20.0), options)
    prompts = [window.options.prompt or "" for step in engine.steps for window in step]
    assert prompts[:2] == ["Call.", "Call."]
    assert all("low" not in prompt or "high" not in prompt for prompt in prompts)
    assert sum("high" in prompt for prompt in prompts) >= 2


async def test_the_names_to_be_known_are_in_the_prompt_of_every_window_of_every_channel(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    engine.info = replace(engine.info, can_prompt=True)
    engine.transcribe = lambda window: replace(two_voices(window), left_out=("Bonn",))
    options = replace(
        SPLIT, vocabulary=("Ogden", "Bonn"), condition_on_previous_text=True, prompt="Call."
    )
    found = await transcribed(make_transcriber(engine, 5.0), two_channels(20.0), options)
    windows = [window for step in engine.steps for window in step]
    assert len(windows) >= 8
    assert {window.options.vocabulary for window in windows} == {("Ogden", "Bonn")}
    assert all("Ogden" not in (window.options.prompt or "") for window in windows)
    assert len(found.warnings) == 1, "what is left out in many windows is told once"
    assert "Bonn" in found.warnings[0]


@pytest.mark.parametrize("gain", [1.0, -0.7])
async def test_a_doubled_channel_is_transcribed_once(
    make_transcriber: Make, engine: FakeEngine, gain: float
) -> None:
    one = tone(20.0, hertz=LOW)
    doubled = np.stack([one, np.float32(gain) * one], axis=1)
    found = await transcribed(make_transcriber(engine, 5.0), doubled, SPLIT)
    mono = await transcribed(make_transcriber(engine, 5.0), one, Options())
    assert [segment.text for segment in found.segments] == [each.text for each in mono.segments]
    assert {segment.channel for segment in found.segments} == {0}
    assert found.channel_languages == ("en",)
    samples = sum(len(window.samples) for step in engine.steps for window in step)
    assert samples == 2 * len(one)  # of the mono recording as many


async def test_a_doubled_channel_waits_for_no_prompt(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    engine.info = replace(engine.info, can_prompt=True)
    options = replace(SPLIT, condition_on_previous_text=True)
    doubled = np.stack([tone(20.0, hertz=LOW)] * 2, axis=1)
    found = await transcribed(make_transcriber(engine, 5.0), doubled, options)
    assert found.channel_languages == ("en",)


async def test_channels_that_part_later_have_their_own_text_from_then_on(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    sound = two_channels(20.0)
    sound[: 320_000 // 2, 1] = sound[: 320_000 // 2, 0]
    found = await transcribed(make_transcriber(engine, 5.0), sound, SPLIT)
    assert found.channel_languages == ("en", "es")
    texts = [text for _, text in said(found)]
    assert len(set(texts)) == len(texts)  # nothing is said twice
    assert all(f" low{n:02}" in texts for n in range(10))
    assert {" high06", " high07", " high08"} <= {text for n, text in said(found) if n == 1}


@pytest.mark.parametrize("has_vad", [False, True])
async def test_what_channels_say_alike_within_a_window_is_in_the_text_of_one(
    make_transcriber: Make, engine: FakeEngine, has_vad: bool
) -> None:
    sound = two_channels(28.0)
    sound[: 20 * RATE, 1] = sound[: 20 * RATE, 0]
    sound[19 * RATE : 20 * RATE] = 0  # nobody's word is cut
    detector = Detector(lambda _: KnownSpeech((0.0, 19.0), (20.0, 28.0))) if has_vad else None
    transcriber = make_transcriber(engine, detector=detector)
    found = await transcribed(transcriber, sound, SPLIT)
    assert [text for n, text in said(found) if n == 0] == [f" low{n:02}" for n in range(14)]
    assert [text for n, text in said(found) if n == 1] == [f" high{n:02}" for n in range(9, 13)]
    assert found.channel_languages == ("en", "es")
    if has_vad:
        assert found.coverage is not None
        assert found.coverage.speech == pytest.approx(27.0 + 8.0, abs=0.1), "once what is equal"


async def test_channels_may_part_and_meet_within_a_window(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    sound = two_channels(28.0)
    for begin, end in ((0, 8), (20, 28)):
        sound[begin * RATE : end * RATE, 1] = sound[begin * RATE : end * RATE, 0]
    sound[7 * RATE : 8 * RATE] = sound[20 * RATE : 21 * RATE] = 0
    found = await transcribed(make_transcriber(engine), sound, SPLIT)
    assert [text for n, text in said(found) if n == 0] == [f" low{n:02}" for n in range(14)]
    others = [text for n, text in said(found) if n == 1]
    assert {f" high{n:02}" for n in range(4, 9)} <= set(others)
    assert not any("low" in text for text in others)
    sizes = [window.seconds for step in engine.steps for window in step]
    assert sum(sizes) < 28 + 15


async def test_windows_that_overlap_stay_whole_where_channels_part(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    sound = two_channels(28.0)
    sound[: 20 * RATE, 1] = sound[: 20 * RATE, 0]
    transcriber = make_transcriber(engine, stride_seconds=1.0)
    await transcribed(transcriber, sound, SPLIT)
    assert [window.seconds for step in engine.steps for window in step] == [28.0, 28.0]


async def test_a_mono_recording_is_one_channel(make_transcriber: Make, engine: FakeEngine) -> None:
    found = await transcribed(make_transcriber(engine), tone(6.0, hertz=LOW), SPLIT)
    assert said(found) == [(0, f" low{n:02}") for n in range(3)]
    assert found.channel_languages == ("en",)


async def test_a_silent_channel_is_a_channel_without_text(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    found = await transcribed(make_transcriber(engine), two_channels(6.0, high=None), SPLIT)
    assert {channel for channel, _ in said(found)} == {0}
    assert found.channel_languages == ("en", None)
    other = await transcribed(make_transcriber(engine), two_channels(6.0, low=None), SPLIT)
    assert {channel for channel, _ in said(other)} == {1}
    assert other.channel_languages == (None, "es")
    assert other.language == "es"


async def test_one_channel_may_end_long_before_the_other(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    sound = two_channels(40.0)
    sound[5 * 16_000 :, 1] = 0
    found = await transcribed(make_transcriber(engine, 10.0), sound, SPLIT)
    assert max(each.start for each in found.segments if each.channel == 0) > 35
    assert [text for channel, text in said(found) if channel == 1][:2] == [" high00", " high01"]


async def test_a_stream_has_the_segments_of_the_whole_answer_in_the_same_order(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    options = replace(SPLIT, timestamps="word")
    engine.info = replace(engine.info, has_words=True)
    sound = two_channels(40.0)
    transcriber = make_transcriber(engine, 5.0)
    at_once = await transcribed(transcriber, sound, options)
    parts = [part async for part in transcriber.parts(whole(wav(sound)), options, Timings())]
    assert sum(bool(part.segments) for part in parts) > 3  # as they become known
    assert not any(part.ahead for part in parts)
    streamed = [segment for part in parts for segment in part.segments]
    assert streamed == list(at_once.segments)


async def test_windows_that_overlap_are_joined_channel_by_channel(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    transcriber = make_transcriber(engine, 10.0, stride_seconds=1.0)
    found = await transcribed(transcriber, two_channels(40.0), SPLIT)
    starts = [segment.start for segment in found.segments]
    assert starts == sorted(starts)
    for number, (name, count) in enumerate((("low", 20), ("high", 19))):
        texts = "".join(text for channel, text in said(found) if channel == number).split()
        assert texts == [f"{name}{n:02}" for n in range(count)]


async def test_a_part_of_a_recording_has_the_times_of_the_whole(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    options = replace(SPLIT, part=AudioPart(10.0, 16.0))
    found = await transcribed(make_transcriber(engine), two_channels(20.0), options)
    assert found.duration == 6.0
    assert [segment.start for segment in found.segments][:2] == [10.0, 11.0]


async def test_the_coverage_of_all_channels_is_told_together(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    def empty_high(window: Any) -> Any:
        result = two_voices(window)
        return result if result.language == "en" else replace(result, segments=())

    engine.transcribe = empty_high
    detector = Detector(lambda _: KnownSpeech((1.0, 5.0)))
    transcriber = make_transcriber(engine, detector=detector)
    found = await transcribed(transcriber, two_channels(6.0), SPLIT)
    assert found.coverage is not None
    assert (found.coverage.speech, found.coverage.covered) == (8.0, 4.0)
    [gap] = found.coverage.gaps
    assert (gap.start, gap.end, gap.channel) == (1.0, 5.0, 1)


async def test_the_seconds_of_each_channel_count_in_the_queue(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    engine.gate.clear()
    transcriber = make_transcriber(engine, max_queue_seconds=100.0)
    blocker = asyncio.create_task(transcribed(transcriber, two_channels(2.0), Options()))
    await eventually(lambda: len(engine.steps) == 1)
    task = asyncio.create_task(transcribed(transcriber, two_channels(20.0), SPLIT))
    await eventually(lambda: waiting(transcriber) == 2)
    assert transcriber._scheduler.queue_seconds == 42.0
    with pytest.raises(QueueFull):
        await transcribed(transcriber, two_channels(30.0), SPLIT)
    engine.gate.set()
    await asyncio.gather(task, blocker)


async def test_a_caller_that_leaves_takes_all_channels_along(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    engine.gate.clear()
    transcriber = make_transcriber(engine, 5.0)
    task = asyncio.create_task(transcribed(transcriber, two_channels(20.0), SPLIT))
    await eventually(lambda: len(engine.steps) == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    engine.gate.set()
    await eventually(lambda: transcriber._scheduler.queue_seconds == 0)
    assert waiting(transcriber) == 0


async def test_channels_that_come_and_go_are_refused(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    channels = ChannelSet(make_transcriber(engine)._setup, SPLIT)
    channels.take(two_channels(1.0))
    with pytest.raises(BadAudio, match="the audio has 2 channels, and later 1"):
        channels.take(two_channels(1.0)[:, :1])


async def test_speakers_and_channels_are_not_told_apart_at_once(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    options = replace(SPLIT, speakers=SpeakerOptions())
    with pytest.raises(BadRequest, match="channels=split tells people apart") as refused:
        await transcribed(make_transcriber(engine), two_channels(1.0), options)
    assert refused.value.param == "channels"


async def test_a_long_recording_of_two_channels_holds_no_more_than_its_windows(
    make_transcriber: Make, engine: FakeEngine
) -> None:
    transcriber = make_transcriber(engine)
    timings = Timings()
    run = transcriber._run(SPLIT, timings)
    sound = np.tile(two_channels(60.0), (4, 1))
    most = 0
    async for _ in run.parts(whole(wav(sound))):
        most = max(most, run._channels.held_samples)
        assert run._channels._likeness is not None
        assert len(run._channels._likeness._products) < 600  # a minute
    assert 0 < most <= 2 * 2 * 35 * 16_000
    assert timings.audio == 240.0
