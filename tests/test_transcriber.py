"""The recipe: windows go out while bytes come in, and come back in order."""

import asyncio
import io

import numpy as np
import pytest
import soundfile

from asr.audio import Decoder
from asr.errors import BadAudio, BadRequest, TooLarge
from asr.metrics import Metrics
from asr.scheduler import Scheduler
from asr.transcriber import Rules, Timings, Transcriber, check, language_code
from asr.transcript import Detection, EngineInfo, Options, Thresholds
from asr.windows import WindowResult
from tests.conftest import RATE, FakeEngine, heard, tone, wav


@pytest.fixture
async def make_transcriber():
    running = []

    def make(engine, window_seconds=30.0, stride_seconds=None, max_seconds=0.0, rules=None):
        metrics = Metrics()
        scheduler = Scheduler(engine, 7200, metrics)
        scheduler.start()
        decoder = Decoder(max_seconds, 4)
        running.append((scheduler, decoder, engine))
        return Transcriber(
            decoder, scheduler, engine.info, window_seconds, stride_seconds, metrics, rules
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


INFO = EngineInfo(
    "m", "fake", "none", "none", {"en": "english", "es": "spanish"}, can_translate=False
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, None),
        ("", None),
        ("None", None),
        ("auto", None),
        ("en", "en"),
        ("EN", "en"),
        ("English", "en"),
        ("es-419", "es"),
        ("es_MX", "es"),
        ("klingon", "klingon"),
    ],
)
def test_a_language_may_be_a_code_a_name_or_a_tag(text, code):
    assert language_code(text, INFO) == code


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (Options(language="klingon"), "en, es"),
        (Options(task="translate"), "cannot translate"),
        (Options(prompt="Hi"), "takes no prompt"),
        (Options(timestamps="word"), "word timestamps"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(options, named):
    with pytest.raises(BadRequest, match=named):
        check(options, INFO)


def test_a_model_without_languages_refuses_a_language():
    with pytest.raises(BadRequest, match="leave 'language' out"):
        check(Options(language="en"), EngineInfo("ctc", "pipeline", "none", "none"))


@pytest.mark.parametrize(
    ("rule", "asked", "done"),
    [
        ("auto", "none", "none"),
        ("auto", "word", "word"),
        ("none", "segment", "none"),
        ("segments", "none", "segment"),
        ("segments", "word", "word"),
    ],
)
def test_the_server_may_rule_over_timestamps(rule, asked, done):
    assert Rules(timestamps=rule).apply(Options(timestamps=asked)).timestamps == done


def test_what_a_request_says_of_doubt_goes_before_what_the_server_says():
    rules = Rules(thresholds=Thresholds(-1.0, 2.4, 0.6))
    asked = Options(thresholds=Thresholds(avg_logprob=-0.3))
    assert rules.apply(Options()).thresholds == Thresholds(-1.0, 2.4, 0.6)
    assert rules.apply(asked).thresholds == Thresholds(-0.3, 2.4, 0.6)


def test_words_are_refused_where_the_server_times_nothing():
    with pytest.raises(BadRequest, match="TIMESTAMPS=none"):
        Rules(timestamps="none").apply(Options(timestamps="word"))


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
