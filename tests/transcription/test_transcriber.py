"""The recipe: windows go out while bytes come in, and come back in order."""

import asyncio
import io
import threading

import numpy as np
import pytest
import soundfile

from asr.audio.raw_pcm import as_wave, parsed
from asr.capabilities import NO_CUDA, EngineInfo
from asr.engines.engine import WindowResult
from asr.errors import BadAudio, BadRequest, TooLarge
from asr.options import AudioPart, Options
from asr.transcription.cutter import quietest
from asr.transcription.policy import RequestPolicy
from asr.transcription.scheduled_request import Timings
from tests.conftest import PATIENCE_SECONDS, eventually, tone, wav
from tests.support.fake_engine import FakeEngine, transcribed
from tests.support.transcribers import whole


async def test_a_long_file_is_transcribed_in_windows_and_joined_in_order(make_transcriber):
    engine = FakeEngine(capacity=2)
    transcriber = make_transcriber(engine, window_seconds=2.0)
    transcript, timings = await transcriber.transcribe(whole(wav(tone(9.0))), Options())
    assert transcript.duration == timings.audio == 9.0
    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)
    assert transcript.segments[0].start == 0.0
    assert transcript.segments[-1].end == pytest.approx(9.0)
    for before, after in zip(transcript.segments, transcript.segments[1:], strict=False):
        assert before.end == pytest.approx(after.start)
    assert transcript.text == "".join(segment.text for segment in transcript.segments)


@pytest.mark.parametrize(("on_gpu", "is_streamed"), [(False, True), (True, True), (False, False)])
async def test_nothing_is_decoded_while_a_processor_transcribes_a_streams_first_window(
    make_transcriber, monkeypatch, on_gpu, is_streamed
):
    waits = is_streamed and not on_gpu
    monkeypatch.setattr("asr.transcription.run.LEAD_SECONDS", PATIENCE_SECONDS)
    device = "a card" if on_gpu else NO_CUDA
    engine = FakeEngine(capacity=1, info=EngineInfo("m", "whisper", device, "none"))
    engine.gate.clear()
    transcriber = make_transcriber(engine, window_seconds=30.0)
    sound = wav(tone(200.0))
    options = Options(is_streamed=is_streamed)
    results = transcriber.results(whole(sound), options, timings := Timings())
    first = asyncio.ensure_future(anext(results))
    await eventually(lambda: engine.steps and (timings.audio >= 50 or waits))
    await make_transcriber(FakeEngine()).transcribe(whole(sound), Options())  # time enough
    assert timings.audio < 50 or not waits
    engine.gate.set()
    await first
    assert len([result async for result in results]) == 6


async def test_the_engine_knows_whether_somebody_waits_for_the_first_words(make_transcriber):
    engine = FakeEngine()
    transcriber, sound = make_transcriber(engine), wav(tone(3.0))
    await transcriber.transcribe(whole(sound), Options())
    parts = transcriber.parts(whole(sound), Options(), Timings())
    assert [part async for part in parts]
    windows = [window for step in engine.steps for window in step]
    assert [window.options.is_streamed for window in windows] == [False, True]


async def test_digital_silence_is_not_sent_to_the_model(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(engine)
    silence = wav(np.zeros(16_000 * 65, np.float32))
    transcript, timings = await transcriber.transcribe(whole(silence), Options())
    assert (transcript.text, transcript.segments, timings.audio) == ("", (), 65.0)
    assert engine.steps == []


async def test_windows_are_transcribed_while_bytes_still_arrive(make_transcriber):
    """The second half of the body comes only once the first window has been answered."""
    engine = FakeEngine()
    transcriber = make_transcriber(engine, window_seconds=2.0)
    data = wav(tone(120.0, rate=48_000), rate=48_000)
    answered = asyncio.Event()

    async def body():
        yield data[: len(data) // 2]
        await answered.wait()
        yield data[len(data) // 2 :]

    timings = Timings()
    count = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _ in transcriber.results(body(), Options(language="en"), timings):
            answered.set()
            count += 1
    assert count > 40
    assert timings.audio == pytest.approx(120.0, abs=0.1)


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
        await transcriber.transcribe(whole(wav(tone(9.0))), Options())


async def test_a_caller_that_leaves_frees_its_place(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(engine)
    engine.gate.clear()
    request = asyncio.create_task(transcriber.transcribe(whole(wav(tone(9.0))), Options()))
    await eventually(lambda: engine.steps)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    assert transcriber._scheduler.queue_seconds == 0


@pytest.mark.parametrize("seconds", [9.0, 33.0, 60.0])
async def test_audio_that_waits_to_be_transcribed_counts_once_in_the_queue(
    make_transcriber, seconds
):
    """Its language is not known before, so that nothing more of it is submitted."""
    engine = FakeEngine()
    transcriber = make_transcriber(engine)
    engine.gate.clear()
    timings = Timings()
    results = transcriber.results(whole(wav(tone(seconds))), Options(), timings)
    first = asyncio.ensure_future(anext(results))
    await eventually(lambda: engine.steps)
    assert transcriber._scheduler.queue_seconds == pytest.approx(timings.audio)
    engine.gate.set()
    await first
    await results.aclose()


async def test_the_search_for_a_pause_holds_up_nobody_while_more_is_to_come(
    make_transcriber, monkeypatch
):
    threads = []

    def searched(*arguments):
        threads.append(threading.current_thread())
        return quietest(*arguments)

    monkeypatch.setattr("asr.transcription.cutter.quietest", searched)
    await make_transcriber(FakeEngine()).transcribe(whole(wav(tone(45.0))), Options())
    assert threads
    assert threading.main_thread() not in threads


async def test_many_callers_get_their_own_words(make_transcriber):
    def decode(window):
        return WindowResult(window, (transcribed(window).segments[0],), "en")

    transcriber = make_transcriber(FakeEngine(capacity=3, transcribe=decode), window_seconds=4.0)
    lengths = [0.5 + 0.25 * number for number in range(32)]
    answers = await asyncio.gather(
        *(transcriber.transcribe(whole(wav(tone(s))), Options()) for s in lengths)
    )
    alone = [await transcriber.transcribe(whole(wav(tone(s))), Options()) for s in lengths]
    assert [a.text for a, _ in answers] == [a.text for a, _ in alone]


async def test_parts_are_given_out_while_the_rest_still_arrives(make_transcriber):
    arrived = asyncio.Event()
    file = io.BytesIO()
    soundfile.write(file, tone(20.0), 16_000, format="AU")
    data = file.getvalue()

    async def slow():
        yield data[: len(data) // 2]
        async with asyncio.timeout(PATIENCE_SECONDS):
            await arrived.wait()
        yield data[len(data) // 2 :]

    transcriber = make_transcriber(FakeEngine(), window_seconds=2.0)
    texts = []
    timings = Timings()
    async for part in transcriber.parts(slow(), Options(), timings):
        texts.append(part.text)
        arrived.set()
    transcript, _ = await transcriber.transcribe(whole(data), Options())
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
        asyncio.create_task(transcriber.transcribe(whole(long), Options())) for _ in range(40)
    ]
    timings = Timings()
    clip = transcriber.results(whole(wav(tone(1.0))), Options(), timings)
    answer = asyncio.create_task(anext(clip))
    await eventually(lambda: timings.audio)
    engine.gate.set()
    assert (await answer).segments
    await clip.aclose()
    await asyncio.gather(*waiting)


async def test_a_caller_that_reads_slowly_does_not_fill_the_memory(make_transcriber):
    engine = FakeEngine(capacity=1)
    transcriber = make_transcriber(engine, window_seconds=2.0)
    sound = wav(tone(200.0))
    results = transcriber.results(whole(sound), Options(language="en"), Timings())
    await anext(results)
    await eventually(lambda: len(engine.steps) >= 4)
    other = make_transcriber(FakeEngine(), window_seconds=2.0)
    await other.transcribe(whole(sound), Options(language="en"))  # time enough for all of it
    assert len(engine.steps) < 20
    assert 1 + len([result async for result in results]) > 100


async def test_options_are_refused_before_there_is_audio_as_they_are_afterwards(make_transcriber):
    impossible = Options(timestamps="word", language="klingon")
    plain = make_transcriber(FakeEngine())
    with pytest.raises(BadRequest, match="klingon") as early:
        plain.check(impossible)
    with pytest.raises(BadRequest) as late:
        await plain.transcribe(whole(wav(tone(1.0))), impossible)
    assert str(early.value) == str(late.value)
    forced = make_transcriber(FakeEngine(), policy=RequestPolicy(language="en"))
    forced.check(Options(language="klingon"))  # the server's language counts, whatever is asked


async def test_a_part_of_an_endless_stream_has_its_windows_and_ends(make_transcriber):
    second = (tone(1.0) * 32_767).astype("<i2").tobytes()

    async def endless():
        while True:
            yield second

    transcriber = make_transcriber(FakeEngine(capacity=2), window_seconds=2.0)
    options = Options(part=AudioPart(3.0, 8.0))
    audio = as_wave(endless(), parsed("audio/pcm;rate=16000"))
    transcript, timings = await transcriber.transcribe(audio, options)
    assert transcript.duration == timings.audio == timings.declared == 5.0
    starts = [segment.start for segment in transcript.segments]
    assert (starts[0], transcript.segments[-1].end) == (3.0, pytest.approx(8.0))
    assert starts == sorted(starts)
    assert [s.window_start for s in transcript.segments] == pytest.approx(starts)
    assert transcript.warnings == (), "the rest is not missed"
