"""Which language is transcribed: the first window's, the caller's, the one that is forced."""

import numpy as np
import pytest

from asr.capabilities import EngineInfo
from asr.engines.engine import WindowResult
from asr.errors import BadRequest
from asr.options import Options
from asr.transcript import LanguageDetection
from asr.transcription.policy import RequestPolicy
from asr.vad.detector import Detector
from tests.conftest import RATE, KnownSpeech, tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.transcribers import whole


async def test_the_language_of_the_first_window_is_pinned_for_the_rest(make_transcriber):
    engine = FakeEngine(transcribe=lambda w: WindowResult(w, language=w.options.language or "es"))
    transcriber = make_transcriber(engine, window_seconds=2.0)
    transcript, _ = await transcriber.transcribe(whole(wav(tone(9.0))), Options())
    asked = [w.options.language for step in engine.steps for w in step]
    assert asked == [None, *["es"] * (len(asked) - 1)]
    assert transcript.language == "es"


@pytest.mark.parametrize("sure", [False, True])
async def test_a_first_window_that_is_unsure_of_the_language_does_not_decide_it(
    make_transcriber, sure
):
    def decode(window):
        code = window.options.language or ("es" if window.start else "en")
        return WindowResult(window, (), code, {code: 0.6 if sure else 0.4})

    engine = FakeEngine(transcribe=decode)
    transcriber = make_transcriber(engine, window_seconds=2.0)
    transcript, _ = await transcriber.transcribe(whole(wav(tone(9.0))), Options())
    decided = "en" if sure else "es"
    asked = [w.options.language for step in engine.steps for w in step]
    assert asked == [None, *([] if sure else [None]), *[decided] * (len(asked) - 2 + sure)]
    assert transcript.language == decided


async def test_a_language_that_is_asked_for_is_asked_of_every_window(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(engine, window_seconds=2.0)
    await transcriber.transcribe(whole(wav(tone(9.0))), Options(language="es"))
    assert {w.options.language for step in engine.steps for w in step} == {"es"}


async def test_a_forced_language_is_transcribed_whatever_is_asked(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(engine, policy=RequestPolicy(language="es"))
    for asked in (None, "en", "xx"):
        transcript, _ = await transcriber.transcribe(whole(wav(tone(1.0))), Options(language=asked))
        assert transcript.language == "es"
    assert {w.options.language for step in engine.steps for w in step} == {"es"}


class Linguist(FakeEngine):
    """Tells a window's language at once, and never writes its text."""

    def step(self, admitted):
        super().step(admitted)
        self.inside = [*getattr(self, "inside", ()), *admitted]
        probabilities = {"es": 0.75, "en": 0.25}
        return [WindowResult(w, (), "es", probabilities, is_final=False) for w in admitted]

    def held(self):
        return len(self.inside)

    def drop(self, window):
        super().drop(window)
        self.inside.remove(window)


async def test_a_language_is_detected_by_the_first_window_that_sounds_and_no_text_is_waited_for(
    make_transcriber,
):
    engine = Linguist()
    transcriber = make_transcriber(engine, window_seconds=2.0, policy=RequestPolicy(language="en"))
    sound = np.concatenate([np.zeros(5 * RATE, np.float32), tone(60.0)])
    options = Options(language="en", languages=("es", "en"), prompt="hello")
    found = await transcriber.detect(whole(wav(sound)), options)
    assert found == LanguageDetection("es", {"es": 0.75, "en": 0.25})
    [[asked]] = [step for step in engine.steps if step]
    assert not asked.is_silent
    assert asked.options == Options(languages=("es", "en"), timestamps="none")
    await transcriber.detect(whole(wav(tone(1.0))), Options())
    assert engine.dropped[0] is asked


async def test_silence_has_no_language(make_transcriber):
    engine = FakeEngine()
    silence = whole(wav(np.zeros(3 * RATE, np.float32)))
    assert await make_transcriber(engine).detect(silence, Options()) == LanguageDetection()
    assert engine.steps == []


async def test_a_language_is_not_asked_of_a_model_that_knows_none(make_transcriber):
    engine = FakeEngine(info=EngineInfo("ctc", "pipeline", "none", "none"))
    with pytest.raises(BadRequest, match="detect languages"):
        await make_transcriber(engine).detect(whole(wav(tone(1.0))), Options())
    options = Options(languages=("en", "klingon"))
    with pytest.raises(BadRequest, match="klingon"):
        await make_transcriber(FakeEngine()).detect(whole(wav(tone(1.0))), options)


async def test_the_language_is_that_of_the_first_window_in_which_somebody_speaks(make_transcriber):
    engine = FakeEngine()
    transcriber = make_transcriber(
        engine, 12.0, detector=Detector(lambda _: KnownSpeech((25.0, 30.0)))
    )
    await transcriber.detect(whole(wav(tone(36.0))), Options())
    assert [w.start for step in engine.steps for w in step] == [pytest.approx(24, abs=0.5)]
