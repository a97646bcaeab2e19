"""A text that grows behind the words that are known already ends as the text of the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from asr.config.config import Config
from asr.engines.engine import Engine, Window, WindowResult
from asr.engines.load import load
from asr.options import Options
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcript import Word
from benchmark.accuracy.speech_scores import of_language
from tests.real.conftest import CACHE

pytestmark = pytest.mark.real

STEP_SECONDS = 0.5  # The audio grows by so much.
HELD_BACK = 0.5  # A word that ends so near to the audio's end may still change, in seconds.
ASKED = Options(language="en", timestamps="word", prefix="")


@pytest.fixture(scope="module")
def engine(whisper_checkpoint: str) -> Engine:
    return load(Config(model_id=whisper_checkpoint, dtype="float32", cache_dir=str(CACHE)))


@pytest.fixture(scope="module")
def speech(jfk: Path) -> Samples:
    samples, rate = soundfile.read(jfk, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE), np.float32)


def answer(engine: Engine, samples: Samples, prefix: str | None) -> WindowResult:
    results = engine.step([Window(samples, 0.0, replace(ASKED, prefix=prefix))])
    while engine.held():
        results += engine.step([])
    [final] = [result for result in results if result.is_final]
    assert final.error is None
    return final


def text_of(result: WindowResult) -> str:
    return "".join(segment.text for segment in result.segments)


def words_of(result: WindowResult) -> list[Word]:
    return [word for segment in result.segments for word in segment.words]


def agreed(before: list[Word], now: list[Word], latest: float) -> list[Word]:
    """The words that both begin with, and that end before `latest`, in seconds."""
    count = 0
    for one, other in zip(before, now, strict=False):
        if one.text != other.text or other.end > latest:
            break
        count += 1
    return now[:count]


def test_words_that_are_known_do_not_change_what_follows(engine: Engine, speech: Samples) -> None:
    whole = words_of(answer(engine, speech, ""))
    for count in (1, len(whole) // 2, len(whole) - 1):
        known, rest = whole[:count], whole[count:]
        found = answer(engine, speech, "".join(word.text for word in known))
        assert text_of(found) == "".join(word.text for word in rest)
        for one, other in zip(words_of(found), rest, strict=True):
            assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=0.041)


def test_a_text_that_grows_with_the_audio_is_that_of_the_whole(
    engine: Engine, speech: Samples
) -> None:
    seconds = len(speech) / SAMPLE_RATE
    known, before = "", list[Word]()
    for end in np.arange(STEP_SECONDS, seconds, STEP_SECONDS):
        now = words_of(answer(engine, speech[: round(end * SAMPLE_RATE)], known))
        sure = agreed(before, now, end - HELD_BACK)
        known += "".join(word.text for word in sure)
        before = now[len(sure) :]
    plain = of_language("en")
    text = known + text_of(answer(engine, speech, known))
    assert len(known.split()) > 12
    assert plain(text) == plain(text_of(answer(engine, speech, "")))
