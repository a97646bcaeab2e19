"""The first words of a stream come while their window is decoded, and are never taken back."""

import asyncio
import threading
from dataclasses import replace

import pytest

from asr.config.config import Config
from asr.engines import load
from asr.engines.engine import WindowResult
from asr.formats import writers
from asr.formats.captions import Layout
from asr.formats.events import transcript_events
from asr.options import Options
from asr.transcript import Segment, Word
from asr.transcription.scheduled_request import Timings
from asr.vad.detector import Detector
from models.demo import synthesise
from tests.conftest import PATIENCE_SECONDS, KnownSpeech, tone, wav
from tests.support.fake_engine import SpeakingEngine
from tests.support.transcribers import whole


def three_sentences(window):
    """A sentence in each third of the window, with the times of its words."""
    third = window.seconds / 3
    segments = []
    for number in range(3):
        start = number * third
        words = (Word(f" word{number}", start, start + 1), Word(" end.", start + 1, start + third))
        text = "".join(word.text for word in words)
        timed = window.options.timestamps == "word"
        segments.append(Segment(start, start + third, text, words if timed else ()))
    return WindowResult(window, tuple(segments), "en")


async def events(transcriber, options, text_format=None, granularities=("segment",)):
    writer = writers.writer(text_format, Layout()) if text_format else writers.Verbatim()
    parts = transcriber.parts(whole(wav(tone(9.0))), options, Timings())
    async for event in transcript_events(parts, writer, set(granularities), lambda _: {}):
        yield event


async def test_a_sentence_is_given_out_before_its_window_is_transcribed(make_transcriber):
    engine = SpeakingEngine(transcribe=three_sentences)
    transcriber = make_transcriber(engine)
    coming = events(transcriber, Options())
    async with asyncio.timeout(PATIENCE_SECONDS):
        first = await anext(coming)
        timed = await anext(coming)
    assert not engine.gate.is_set()
    assert first == {"type": "transcript.text.delta", "delta": " word0 end."}
    assert (timed["start"], timed["end"], timed["text"]) == (0.0, 3.0, first["delta"])
    engine.gate.set()
    *rest, done = [event async for event in coming]
    assert [event["id"] for event in rest if "id" in event] == ["seg_1", "seg_2"]
    transcript, _ = await transcriber.transcribe(whole(wav(tone(9.0))), Options())
    assert done["text"] == transcript.text == " word0 end. word1 end. word2 end."


@pytest.mark.parametrize("text_format", ["text", "srt"])
async def test_text_does_not_wait_for_the_times_of_its_words_and_they_come_with_their_segment(
    make_transcriber, text_format
):
    engine = SpeakingEngine(transcribe=three_sentences)
    engine.info = replace(engine.info, has_words=True)
    transcriber = make_transcriber(engine)
    coming = events(transcriber, Options(timestamps="word"), text_format, ("word",))
    early = []
    if text_format == "text":
        async with asyncio.timeout(PATIENCE_SECONDS):
            early.append(await anext(coming))
        assert early[0]["delta"] == "word0 end."
        assert not engine.gate.is_set()
    engine.gate.set()
    *rest, done = [*early, *[event async for event in coming]]
    assert "".join(event.get("delta", "") for event in rest) == done["text"]
    assert done["text"].count("word1") == 1
    segments = [event for event in rest if "id" in event]
    assert [event["text"] for event in segments] == [f" word{n} end." for n in range(3)]
    starts = [event["words"][1]["start"] for event in segments]
    assert starts == [1.0, 4.0, 7.0]


async def test_what_follows_a_gap_waits_until_the_gap_is_decoded_again(make_transcriber):
    def decode(window):
        if window.seconds < 4:
            return WindowResult(window, (Segment(0.0, window.seconds, " between"),), "en")
        times = [(0.0, 2.0), (5.0, 6.0), (6.0, 9.0)]
        return WindowResult(window, tuple(Segment(*t, f" at{t[0]:.0f}") for t in times), "en")

    engine = SpeakingEngine(transcribe=decode)
    spoken = Detector(lambda _: KnownSpeech((0.0, 9.0)))
    coming = events(make_transcriber(engine, detector=spoken), Options(), granularities=())
    deltas = [(await anext(coming))["delta"]]
    assert not engine.gate.is_set()
    engine.gate.set()
    *rest, done = [event async for event in coming]
    assert deltas + [event["delta"] for event in rest] == [" at0", " between", " at5", " at6"]
    assert done["text"] == " at0 between at5 at6"


async def test_what_nobody_said_is_not_given_out_early_either(make_transcriber):
    engine = SpeakingEngine(transcribe=three_sentences)
    spoken = Detector(lambda _: KnownSpeech((0.0, 1.5)))
    coming = events(make_transcriber(engine, detector=spoken), Options(), granularities=())
    assert (await anext(coming))["delta"] == " word0 end."
    assert not engine.gate.is_set()
    engine.gate.set()
    [done] = [event async for event in coming]
    assert done["text"] == " word0 end."


async def test_the_times_of_windows_that_overlap_are_awaited(make_transcriber):
    engine = SpeakingEngine(transcribe=three_sentences)
    transcriber = make_transcriber(engine, window_seconds=6.0, stride_seconds=0.5)
    engine.gate.set()
    streamed = [event async for event in events(transcriber, Options())]
    transcript, _ = await transcriber.transcribe(whole(wav(tone(9.0))), Options())
    assert streamed[-1]["text"] == transcript.text


class Held:
    """Holds an engine back, once it has given out segments, until `gate` is opened."""

    def __init__(self, engine):
        self._engine = engine
        self._has_spoken = False
        self.gate = threading.Event()

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def step(self, admitted):
        if self._has_spoken:
            self.gate.wait(PATIENCE_SECONDS)
        results = self._engine.step(admitted)
        early = [result for result in results if result.segments and not result.is_final]
        self._has_spoken = self._has_spoken or bool(early)
        return results


@pytest.mark.usefixtures("needs_demo_model")
@pytest.mark.parametrize("timestamps", ["segment", "word"])
async def test_the_demo_models_first_sentence_comes_early_and_the_text_is_the_same(
    make_transcriber, timestamps
):
    spoken = synthesise.recording(20.0, "en", seed=5)
    engine = Held(load.load(Config(model_id="demo", dtype="float32")))
    transcriber = make_transcriber(engine)
    source, options = wav(spoken.samples), Options(timestamps=timestamps)
    coming = transcriber.parts(whole(source), options, Timings())
    async with asyncio.timeout(PATIENCE_SECONDS):
        first = await anext(coming)
    assert not engine.gate.is_set()
    engine.gate.set()
    parts = [first, *[part async for part in coming]]
    transcript, _ = await transcriber.transcribe(whole(source), options)
    assert "".join(part.text for part in parts) == transcript.text
    early = first.segments or first.ahead
    assert [s.text for s in early] == [s.text for s in transcript.segments[: len(early)]]
    assert len(early) < len(transcript.segments)
    timed = [segment for part in parts for segment in part.segments]
    assert [s.words for s in timed] == [s.words for s in transcript.segments]
