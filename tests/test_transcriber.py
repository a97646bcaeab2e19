"""The recipe: windows go out while bytes come in, and come back in order."""

import asyncio
import io
import time

import numpy as np
import pytest
import soundfile

from asr.audio import Decoder
from asr.errors import BadAudio, BadRequest, TooLarge
from asr.metrics import Metrics
from asr.rules import Rules
from asr.scheduler import Scheduler
from asr.speech import Detector
from asr.transcriber import Timings, Transcriber
from asr.transcript import NO_CUDA, Coverage, Detection, EngineInfo, Gap, Options, Segment
from asr.windows import WindowResult
from tests.conftest import RATE, FakeEngine, Told, heard, tone, wav


@pytest.fixture
async def make_transcriber():
    running = []

    def make(
        engine, window_seconds=30.0, stride_seconds=None, max_seconds=0.0, rules=None, detector=None
    ):
        metrics = Metrics()
        scheduler = Scheduler(engine, 7200, metrics)
        scheduler.start()
        decoder = Decoder(max_seconds, 4)
        running.append((scheduler, decoder, engine))
        return Transcriber(
            decoder,
            scheduler,
            engine.info,
            window_seconds,
            stride_seconds,
            metrics,
            rules,
            detector,
        )

    yield make
    for scheduler, decoder, engine in running:
        engine.gate.set()
        await scheduler.stop()
        decoder.close()


async def stream(*parts):
    for part in parts:
        yield part


async def test_a_long_file_is_heard_in_windows_and_joined_in_order(make_transcriber):
    engine = FakeEngine(capacity=2)
    transcriber = make_transcriber(engine, window_seconds=2.0)
    transcript, timings = await transcriber.transcribe(stream(wav(tone(9.0))), Options())
    assert transcript.duration == timings.audio == 9.0
    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)
    assert transcript.segments[0].start == 0.0
    assert transcript.segments[-1].end == pytest.approx(9.0)
    for before, after in zip(transcript.segments, transcript.segments[1:], strict=False):
        assert before.end == pytest.approx(after.start)
    assert transcript.text == "".join(segment.text for segment in transcript.segments)


async def test_the_language_of_the_first_window_is_pinned_for_the_rest(make_transcriber):
    engine = FakeEngine(hear=lambda w: WindowResult(w, language=w.options.language or "es"))
    transcriber = make_transcriber(engine, window_seconds=2.0)
    transcript, _ = await transcriber.transcribe(stream(wav(tone(9.0))), Options())
    asked = [w.options.language for step in engine.steps for w in step]
    assert asked == [None, *["es"] * (len(asked) - 1)]
    assert transcript.language == "es"


@pytest.mark.parametrize("sure", [False, True])
async def test_a_first_window_that_is_unsure_of_the_language_does_not_decide_it(
    make_transcriber, sure
):
    def hear(window):
        code = window.options.language or ("es" if window.start else "en")
        return WindowResult(window, (), code, {code: 0.6 if sure else 0.4})

    engine = FakeEngine(hear=hear)
    transcriber = make_transcriber(engine, window_seconds=2.0)
    transcript, _ = await transcriber.transcribe(stream(wav(tone(9.0))), Options())
    decided = "en" if sure else "es"
    asked = [w.options.language for step in engine.steps for w in step]
    assert asked == [None, *([] if sure else [None]), *[decided] * (len(asked) - 2 + sure)]
    assert transcript.language == decided


@pytest.mark.parametrize("on_gpu", [False, True])
async def test_nothing_is_decoded_while_a_processor_hears_the_first_window(
    make_transcriber, monkeypatch, on_gpu
):
    monkeypatch.setattr("asr.transcriber.LEAD_SECONDS", 30.0)
    device = "a card" if on_gpu else NO_CUDA
    engine = FakeEngine(capacity=1, info=EngineInfo("m", "whisper", device, "none"))
    engine.gate.clear()
    transcriber = make_transcriber(engine, window_seconds=30.0)
    results = transcriber.results(stream(wav(tone(200.0))), Options(), timings := Timings())
    first = asyncio.ensure_future(anext(results))
    async with asyncio.timeout(20):
        while not engine.steps or (on_gpu and timings.audio < 50):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert on_gpu or timings.audio < 50
    engine.gate.set()
    await first
    assert len([result async for result in results]) == 7


class Linguist(FakeEngine):
    """Tells a window's language at once, and never writes its text."""

    def step(self, admitted):
        super().step(admitted)
        self.inside = [*getattr(self, "inside", ()), *admitted]
        odds = {"es": 0.75, "en": 0.25}
        return [WindowResult(w, (), "es", odds, is_final=False) for w in admitted]

    def held(self):
        return len(self.inside)

    def drop(self, window):
        super().drop(window)
        self.inside.remove(window)


async def test_a_language_is_told_by_the_first_window_that_sounds_and_no_text_is_waited_for(
    make_transcriber,
):
    engine = Linguist()
    transcriber = make_transcriber(engine, window_seconds=2.0, rules=Rules(language="en"))
    sound = np.concatenate([np.zeros(5 * RATE, np.float32), tone(60.0)])
    options = Options(language="en", languages=("es", "en"), prompt="hello")
    found = await transcriber.detect(stream(wav(sound)), options)
    assert found == Detection("es", {"es": 0.75, "en": 0.25})
    [[asked]] = [step for step in engine.steps if step]
    assert not asked.is_silent
    assert asked.options == Options(languages=("es", "en"), timestamps="none")
    await transcriber.detect(stream(wav(tone(1.0))), Options())
    assert engine.dropped[0] is asked


async def test_silence_has_no_language(make_transcriber):
    engine = FakeEngine()
    silence = stream(wav(np.zeros(3 * RATE, np.float32)))
    assert await make_transcriber(engine).detect(silence, Options()) == Detection()
    assert engine.steps == []


async def test_a_language_is_not_asked_of_a_model_that_knows_none(make_transcriber):
    engine = FakeEngine(info=EngineInfo("ctc", "pipeline", "none", "none"))
    with pytest.raises(BadRequest, match="tell languages apart"):
        await make_transcriber(engine).detect(stream(wav(tone(1.0))), Options())
    options = Options(languages=("en", "klingon"))
    with pytest.raises(BadRequest, match="klingon"):
        await make_transcriber(FakeEngine()).detect(stream(wav(tone(1.0))), options)


async def test_a_language_that_is_asked_for_is_asked_of_every_window(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(engine, window_seconds=2.0)
    await transcriber.transcribe(stream(wav(tone(9.0))), Options(language="es"))
    assert {w.options.language for step in engine.steps for w in step} == {"es"}


async def test_digital_silence_is_not_sent_to_the_model(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(engine)
    silence = wav(np.zeros(16_000 * 65, np.float32))
    transcript, timings = await transcriber.transcribe(stream(silence), Options())
    assert (transcript.text, transcript.segments, timings.audio) == ("", (), 65.0)
    assert engine.steps == []


async def test_windows_are_heard_while_bytes_still_arrive(make_transcriber):
    """The second half of the body comes only once the first window has been answered."""
    engine = FakeEngine()
    transcriber = make_transcriber(engine, window_seconds=2.0)
    data = wav(tone(600.0, rate=48_000), rate=48_000)
    answered = asyncio.Event()

    async def body():
        yield data[: len(data) // 2]
        await answered.wait()
        yield data[len(data) // 2 :]

    timings = Timings()
    count = 0
    async with asyncio.timeout(60):
        async for _ in transcriber.results(body(), Options(language="en"), timings):
            answered.set()
            count += 1
    assert count > 200
    assert timings.audio == pytest.approx(600.0, abs=0.1)


async def test_a_failing_source_fails_the_request_with_its_own_error(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(engine, window_seconds=2.0)

    async def body():
        yield wav(tone(60.0))
        raise BadAudio("torn off")

    with pytest.raises(BadAudio, match="torn off"):
        await transcriber.transcribe(body(), Options())


async def test_audio_that_is_too_long_is_refused_while_decoding(make_transcriber):
    transcriber = make_transcriber(FakeEngine(), max_seconds=5.0)
    with pytest.raises(TooLarge, match="MAX_AUDIO_SECONDS=5"):
        await transcriber.transcribe(stream(wav(tone(9.0))), Options())


async def test_a_caller_that_leaves_frees_its_place(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(engine)
    engine.gate.clear()
    request = asyncio.create_task(transcriber.transcribe(stream(wav(tone(9.0))), Options()))
    async with asyncio.timeout(10):
        while not engine.steps:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    assert transcriber._scheduler.queue_seconds == 0


@pytest.mark.parametrize("seconds", [9.0, 33.0, 60.0])
async def test_audio_that_waits_to_be_heard_counts_once_in_the_queue(make_transcriber, seconds):
    """Its language is not known before, so that nothing more of it is submitted."""
    engine = FakeEngine()
    transcriber = make_transcriber(engine)
    engine.gate.clear()
    timings = Timings()
    results = transcriber.results(stream(wav(tone(seconds))), Options(), timings)
    first = asyncio.ensure_future(anext(results))
    async with asyncio.timeout(10):
        while not engine.steps:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert transcriber._scheduler.queue_seconds == pytest.approx(timings.audio)
    engine.gate.set()
    await first
    await results.aclose()


async def test_many_callers_get_their_own_words(make_transcriber):
    def hear(window):
        return WindowResult(window, (heard(window).segments[0],), "en")

    transcriber = make_transcriber(FakeEngine(capacity=3, hear=hear), window_seconds=4.0)
    lengths = [0.5 + 0.25 * number for number in range(32)]
    answers = await asyncio.gather(
        *(transcriber.transcribe(stream(wav(tone(s))), Options()) for s in lengths)
    )
    alone = [await transcriber.transcribe(stream(wav(tone(s))), Options()) for s in lengths]
    assert [a.text for a, _ in answers] == [a.text for a, _ in alone]


async def test_a_forced_language_is_heard_whatever_is_asked(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(engine, rules=Rules(language="es"))
    for asked in (None, "en", "xx"):
        transcript, _ = await transcriber.transcribe(
            stream(wav(tone(1.0))), Options(language=asked)
        )
        assert transcript.language == "es"
    assert {w.options.language for step in engine.steps for w in step} == {"es"}


async def test_parts_are_given_out_while_the_rest_still_arrives(make_transcriber):
    arrived = asyncio.Event()
    file = io.BytesIO()
    soundfile.write(file, tone(20.0), 16_000, format="AU")
    whole = file.getvalue()

    async def slow():
        yield whole[: len(whole) // 2]
        async with asyncio.timeout(20):
            await arrived.wait()
        yield whole[len(whole) // 2 :]

    transcriber = make_transcriber(FakeEngine(), window_seconds=2.0)
    texts = []
    timings = Timings()
    async for part in transcriber.parts(slow(), Options(), timings):
        texts.append(part.text)
        arrived.set()
    transcript, _ = await transcriber.transcribe(stream(whole), Options())
    assert "".join(texts) == transcript.text
    assert part.duration == transcript.duration


async def test_long_files_that_wait_for_the_engine_do_not_keep_a_clip_from_decoding(
    make_transcriber,
):
    engine = FakeEngine(capacity=1)
    transcriber = make_transcriber(engine, window_seconds=2.0)
    engine.gate.clear()
    long = wav(tone(60.0))
    waiting = [
        asyncio.create_task(transcriber.transcribe(stream(long), Options())) for _ in range(40)
    ]
    timings = Timings()
    clip = transcriber.results(stream(wav(tone(1.0))), Options(), timings)
    answer = asyncio.create_task(anext(clip))
    async with asyncio.timeout(20):
        while not timings.audio:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    engine.gate.set()
    assert (await answer).segments
    await clip.aclose()
    await asyncio.gather(*waiting)


async def test_a_caller_that_reads_slowly_does_not_fill_the_memory(make_transcriber):
    engine = FakeEngine(capacity=1)
    transcriber = make_transcriber(engine, window_seconds=2.0)
    timings = Timings()
    results = transcriber.results(stream(wav(tone(200.0))), Options(language="en"), timings)
    await anext(results)
    async with asyncio.timeout(10):
        while (before := len(engine.steps)) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    for _ in range(100):
        await asyncio.sleep(0.001)
    assert len(engine.steps) < 20
    assert before < 20
    assert 1 + len([result async for result in results]) > 100


def a_deaf_spot(window):
    """Hears all of a window but its seconds 4 to 8, unless that is where it begins."""
    text = f" from {window.start:.0f}"
    if window.seconds < 8:
        return WindowResult(window, (Segment(0.3, window.seconds, text),), "en")
    segments = (Segment(0.0, 4.0, text), Segment(8.0, window.seconds, " on"))
    return WindowResult(window, segments, "en")


async def test_speech_that_was_left_out_is_heard_again_and_comes_at_its_place(make_transcriber):
    engine = FakeEngine(hear=a_deaf_spot)
    transcriber = make_transcriber(engine, 20.0, detector=Detector(lambda _: Told((0.0, 38.0))))
    timings = Timings()
    parts = [part async for part in transcriber.parts(stream(wav(tone(38.0))), Options(), timings)]
    segments = [segment for part in parts for segment in part.segments]
    starts = [segment.start for segment in segments]
    assert starts == sorted(starts)
    texts = [segment.text for segment in segments]
    assert texts == [" from 0", " from 8", " from 12", " on", " from 20", " from 24", " on"]
    assert segments[2].end == segments[3].start == segments[1].start + 8.0
    assert parts[-1].coverage.share == 1.0
    assert [part.coverage for part in parts[:-1]] == [None] * (len(parts) - 1)
    asked = [w.options.language for step in engine.steps for w in step if w.seconds < 6]
    assert asked == ["en", "en"]
    assert count(transcriber, "asr_gaps_heard_again_total") == 2


async def test_a_second_hearing_counts_for_the_time_of_the_model(make_transcriber):
    heard_at = []

    def hear(window):
        heard_at.append(time.monotonic())
        return a_deaf_spot(window)

    engine = FakeEngine(hear=hear)
    transcriber = make_transcriber(engine, detector=Detector(lambda _: Told((0.0, 12.0))))
    _, timings = await transcriber.transcribe(stream(wav(tone(12.0))), Options())
    assert len(heard_at) == 2
    assert timings.taken_at + timings.model > heard_at[-1]


async def test_what_is_lost_for_good_is_told(make_transcriber):
    engine = FakeEngine(hear=lambda w: WindowResult(w, (), "en", rejected="repetition"))
    transcriber = make_transcriber(engine, detector=Detector(lambda _: Told((1.0, 6.0))))
    transcript, _ = await transcriber.transcribe(stream(wav(tone(9.0))), Options())
    assert transcript.coverage == Coverage(5.0, 0.0, (Gap(1.0, 6.0, "repetition"),))
    rejected = count(transcriber, "asr_texts_rejected_total", {"reason": "repetition"})
    assert rejected == sum(len(step) for step in engine.steps) == 3


async def test_a_window_in_which_nobody_speaks_is_not_sent_to_the_model(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(engine, 12.0, detector=Detector(lambda _: Told((0.0, 9.0))))
    transcript, _ = await transcriber.transcribe(stream(wav(tone(36.0))), Options())
    assert [w.start for step in engine.steps for w in step] == [0.0, pytest.approx(4.8, abs=0.3)]
    assert len(transcript.segments) == 2
    assert count(transcriber, "asr_windows_skipped_total") == 3


async def test_the_language_is_that_of_the_first_window_in_which_somebody_speaks(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(engine, 12.0, detector=Detector(lambda _: Told((25.0, 30.0))))
    await transcriber.detect(stream(wav(tone(36.0))), Options())
    assert [w.start for step in engine.steps for w in step] == [pytest.approx(24, abs=0.5)]


def count(transcriber, name, labels=None):
    return transcriber._metrics.registry.get_sample_value(name, labels or {})
