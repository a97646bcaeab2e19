"""Speech without text is decoded a second time, and what stays without text is reported."""

import time

import pytest

from asr.engines.engine import WindowResult
from asr.options import Options
from asr.transcript import Coverage, Gap, Segment
from asr.transcription.scheduled_request import Timings
from asr.vad.detector import Detector
from tests.conftest import KnownSpeech, tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.transcribers import whole


def a_deaf_spot(window):
    """Hears all of a window but its seconds 4 to 8, unless that is where it begins."""
    text = f" from {window.start:.0f}"
    if window.seconds < 8:
        return WindowResult(window, (Segment(0.3, window.seconds, text),), "en")
    segments = (Segment(0.0, 4.0, text), Segment(8.0, window.seconds, " on"))
    return WindowResult(window, segments, "en")


async def test_speech_that_was_left_out_is_decoded_again_and_comes_at_its_place(make_transcriber):
    engine = FakeEngine(transcribe=a_deaf_spot)
    transcriber = make_transcriber(
        engine, 20.0, detector=Detector(lambda _: KnownSpeech((0.0, 38.0)))
    )
    timings = Timings()
    parts = [part async for part in transcriber.parts(whole(wav(tone(38.0))), Options(), timings)]
    segments = [segment for part in parts for segment in part.segments]
    starts = [segment.start for segment in segments]
    assert starts == sorted(starts)
    texts = [segment.text for segment in segments]
    assert texts == [" from 0", " from 4", " on", " from 20", " from 24", " on"]
    assert segments[1].end == segments[2].start == pytest.approx(8.0, abs=0.2)
    assert parts[-1].coverage.share == 1.0
    assert [part.coverage for part in parts[:-1]] == [None] * (len(parts) - 1)
    asked = [w.options.language for step in engine.steps for w in step if w.seconds < 6]
    assert asked == ["en", "en"]
    assert count(transcriber, "asr_gaps_heard_again_total") == 2


async def test_a_second_decode_counts_for_the_time_of_the_model(make_transcriber):
    decoded_at = []

    def decode(window):
        decoded_at.append(time.monotonic())
        return a_deaf_spot(window)

    engine = FakeEngine(transcribe=decode)
    transcriber = make_transcriber(engine, detector=Detector(lambda _: KnownSpeech((0.0, 12.0))))
    _, timings = await transcriber.transcribe(whole(wav(tone(12.0))), Options())
    assert len(decoded_at) == 2
    assert timings.taken_at + timings.model > decoded_at[-1]


async def test_what_is_lost_for_good_is_reported(make_transcriber):
    engine = FakeEngine(transcribe=lambda w: WindowResult(w, (), "en", rejected="repetition"))
    transcriber = make_transcriber(engine, detector=Detector(lambda _: KnownSpeech((1.0, 6.0))))
    transcript, _ = await transcriber.transcribe(whole(wav(tone(9.0))), Options())
    assert transcript.coverage == Coverage(5.0, 0.0, (Gap(1.0, 6.0, "repetition"),))
    rejected = count(transcriber, "asr_texts_rejected_total", {"reason": "repetition"})
    assert rejected == sum(len(step) for step in engine.steps) == 3


async def test_a_window_in_which_nobody_speaks_is_not_sent_to_the_model(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(
        engine, 12.0, detector=Detector(lambda _: KnownSpeech((0.0, 9.0)))
    )
    transcript, _ = await transcriber.transcribe(whole(wav(tone(36.0))), Options())
    assert [w.start for step in engine.steps for w in step] == [0.0]
    assert len(transcript.segments) == 1
    assert count(transcriber, "asr_windows_skipped_total") == 3


def count(transcriber, name, labels=None):
    return transcriber._setup.metrics.registry.get_sample_value(name, labels or {})
