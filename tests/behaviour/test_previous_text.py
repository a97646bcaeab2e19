"""The text before a window is its prompt, where that is asked: its windows take turns."""

import asyncio
from dataclasses import replace

import pytest

from asr.config.config import Config
from asr.engines import load
from asr.engines.engine import WindowResult
from asr.options import Options
from asr.transcript import Segment
from asr.transcription.admission.turns import Rank
from asr.transcription.policy import RequestPolicy
from asr.transcription.scheduled_request import Timings
from models.demo import synthesise
from tests.behaviour.test_first_words import Held
from tests.conftest import PATIENCE_SECONDS, eventually, tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.transcribers import whole

CONDITIONED = Options("en", condition_on_previous_text=True)


def engine_that_writes(*results, capacity=4):
    """An engine that writes `results` one after the other, each a text and how it came about."""
    left = iter(results)

    def decode(window):
        text, how = next(left)
        rejected = how if isinstance(how, str) else None
        temperature = None if rejected else how
        segments = (Segment(0.0, window.seconds, text, temperature=temperature),) if text else ()
        return WindowResult(window, segments, "en", rejected=rejected)

    engine = FakeEngine(capacity=capacity, transcribe=decode)
    engine.info = prompted(engine.info)
    return engine


def prompted(info):
    return type(info)(**{**info.__dict__, "can_prompt": True})


def prompts(engine):
    return [window.options.prompt for step in engine.steps for window in step]


async def test_a_windows_prompt_is_the_requests_own_and_the_text_before(make_transcriber):
    engine = engine_that_writes((" One", 0.0), (" two,", 0.4), (" three.", None))
    transcriber = make_transcriber(engine, window_seconds=2.0)
    asked = Options("en", prompt="Numbers:", condition_on_previous_text=True)
    transcript, _ = await transcriber.transcribe(whole(wav(tone(5.0))), asked)
    assert prompts(engine) == ["Numbers:", "Numbers: One", "Numbers: One two,"]
    assert [len(step) for step in engine.steps if step] == [1, 1, 1]
    assert transcript.text == " One two, three."


async def test_names_are_known_in_every_window_whatever_becomes_of_the_text(make_transcriber):
    engine = engine_that_writes((" One", 0.0), (" la la la", "repetition"), (" three.", 0.8))
    transcriber = make_transcriber(engine, window_seconds=2.0)
    asked = replace(CONDITIONED, vocabulary=("Ogden", "keel"))
    await transcriber.transcribe(whole(wav(tone(5.0))), asked)
    known = [window.options.vocabulary for step in engine.steps for window in step]
    assert known == [("Ogden", "keel")] * 3
    assert prompts(engine) == [None, "One", None]


async def test_names_that_any_window_has_no_room_for_are_told_once(make_transcriber):
    left = iter([("keel",), ("Ogden", "keel"), ()])

    def decode(window):
        return WindowResult(window, left_out=next(left))

    engine = FakeEngine(transcribe=decode)
    engine.info = prompted(engine.info)
    transcriber = make_transcriber(engine, window_seconds=2.0)
    asked = Options("en", vocabulary=("Ogden", "keel"))
    transcript, _ = await transcriber.transcribe(whole(wav(tone(5.0))), asked)
    [warning] = transcript.warnings
    assert "no room for these names: keel, Ogden: send fewer" in warning


@pytest.mark.parametrize(
    ("text", "how", "is_kept"),
    [
        (" two", 0.5, True),
        (" two", 0.6, False),
        ("", "no speech", True),
        ("", "repetition", False),
        (" two", "unlikely", False),
    ],
)
async def test_a_doubtful_text_and_all_before_it_is_no_prompt(make_transcriber, text, how, is_kept):
    engine = engine_that_writes((" One", 0.0), (text, how), (" three", 0.0))
    transcriber = make_transcriber(engine, window_seconds=2.0)
    await transcriber.transcribe(whole(wav(tone(5.0))), CONDITIONED)
    assert prompts(engine) == [None, "One", f"One{text}" if is_kept else None]


async def test_without_it_every_window_has_the_requests_own_prompt(make_transcriber):
    engine = engine_that_writes(*[(" a", 0.0)] * 3)
    transcriber = make_transcriber(engine, window_seconds=2.0)
    await transcriber.transcribe(whole(wav(tone(5.0))), Options("en", prompt="Numbers:"))
    assert prompts(engine) == ["Numbers:"] * 3


async def test_what_looks_like_a_special_token_is_parted_and_the_text_is_bounded(make_transcriber):
    long = " word" * 1000
    engine = engine_that_writes((long, 0.0), (" <|en|>", 0.0), (" c", 0.0))
    transcriber = make_transcriber(engine, window_seconds=2.0)
    await transcriber.transcribe(whole(wav(tone(5.0))), CONDITIONED)
    _, second, third = prompts(engine)
    assert len(second) <= 2000
    assert third.endswith(" word < |en|>")


async def test_the_server_may_make_it_the_default_and_a_request_decides(make_transcriber):
    for asked, expected in ((None, "a"), (False, None)):
        engine = engine_that_writes((" a", 0.0), (" b", 0.0))
        policy = RequestPolicy(condition_on_previous_text=True)
        transcriber = make_transcriber(engine, window_seconds=2.0, policy=policy)
        options = Options("en", condition_on_previous_text=asked)
        await transcriber.transcribe(whole(wav(tone(3.0))), options)
        assert prompts(engine) == [None, expected]


async def test_other_callers_fill_the_batch_meanwhile(make_transcriber):
    engine = FakeEngine(capacity=8)
    engine.info = prompted(engine.info)
    engine.gate.clear()
    transcriber = make_transcriber(engine, window_seconds=2.0)

    def ask(options, seconds=9.0):
        return asyncio.create_task(transcriber.transcribe(whole(wav(tone(seconds))), options))

    plug = ask(Options("en"), 1.0)
    await eventually(lambda: engine.steps)
    many = [*(ask(CONDITIONED) for _ in range(4)), ask(Options("en"))]
    await eventually(
        lambda: len(transcriber._scheduler._waiting._turns._queues[Rank.FIRST_WORDS]) == 5
    )
    engine.gate.set()
    await plug
    answers = await asyncio.gather(*many)
    assert len({transcript.text for transcript, _ in answers}) == 1
    assert len(engine.steps[1]) >= 5


async def test_a_conditioned_caller_that_leaves_frees_its_place(make_transcriber):
    engine = FakeEngine(capacity=2)
    engine.info = prompted(engine.info)
    engine.gate.clear()
    transcriber = make_transcriber(engine, window_seconds=2.0)
    leaving = asyncio.create_task(transcriber.transcribe(whole(wav(tone(9.0))), CONDITIONED))
    await eventually(lambda: engine.steps)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert transcriber._scheduler.queue_seconds == 0
    engine.gate.set()


async def test_an_engine_that_fails_answers_a_conditioned_caller(make_transcriber):
    engine = engine_that_writes((" a", 0.0))  # and nothing for the second window
    transcriber = make_transcriber(engine, window_seconds=2.0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(Exception, match="the engine has ended"):
            await transcriber.transcribe(whole(wav(tone(5.0))), CONDITIONED)


@pytest.mark.usefixtures("needs_demo_model")
async def test_the_demo_model_goes_on_behind_its_own_text_streamed_or_not(make_transcriber):
    engine = Held(load.load(Config(model_id="demo", dtype="float32")))
    engine.gate.set()
    transcriber = make_transcriber(engine)
    spoken = wav(synthesise.recording(33.0, "en", seed=5).samples)
    transcript, _ = await transcriber.transcribe(whole(spoken), CONDITIONED)
    parts = transcriber.parts(whole(spoken), CONDITIONED, Timings())
    assert "".join([part.text async for part in parts]) == transcript.text != ""
