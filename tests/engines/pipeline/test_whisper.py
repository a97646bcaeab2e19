"""Whisper through `generate` says of its text what the engine in flight says of its own."""

import pytest
import soundfile

from asr.config.config import DEMO_MODEL, Config
from asr.engines import load as engines
from asr.engines.engine import Window
from asr.options import Options, Thresholds
from tests.conftest import RATE, tone
from tests.support.models import Caller

QUIET = 0.003  # Samples times this are 50 dB quieter.
SAMPLES = DEMO_MODEL.parent / "samples"

pytestmark = pytest.mark.usefixtures("needs_demo_model")


@pytest.fixture(scope="module")
def both():
    kinds = ("pipeline", "whisper")
    configs = [Config(model_id="demo", device="cpu", dtype="float32", engine=k) for k in kinds]
    return [engines.load(config) for config in configs]


def sounds():
    yield tone(2.0)
    for name in ("en-short", "en-several"):
        samples, rate = soundfile.read(SAMPLES / f"{name}.flac", dtype="float32")
        assert rate == RATE
        yield samples[: 30 * RATE]
        yield QUIET * samples[: 5 * RATE]


@pytest.mark.parametrize(
    "options",
    [
        Options(logprobs=True),
        Options(language="en", timestamps="none", logprobs=True),
        Options(language="en", prompt="good morning", logprobs=True),
        Options(language="en", max_new_tokens=4, logprobs=True),
        Options(languages=("es",), logprobs=True),
        Options(language="en", temperature=0.6, seed=5),
        Options(language="en", thresholds=Thresholds(avg_logprob=-0.01, compression_ratio=2.4)),
        Options(language="en", thresholds=Thresholds(avg_logprob=0.0, no_speech=0.0)),
    ],
)
def test_both_engines_say_the_same_of_the_same_text(both, options):
    """Windows that share a batch end at different tokens."""
    answers = []
    for engine in both:
        caller = Caller(engine)
        caller.run([Window(samples, 0.0, options) for samples in sounds()])
        answers.append(sorted(caller.finals.values(), key=lambda found: found.window.seconds))
    texts = 0
    for ours, theirs in zip(*answers, strict=True):
        assert ours.language == theirs.language
        assert ours.probabilities == pytest.approx(theirs.probabilities, abs=1e-4)
        assert bool(ours.probabilities) == (options.language is None)
        assert ours.rejected == theirs.rejected
        for one, other in zip(ours.segments, theirs.segments, strict=True):
            texts += 1
            assert (one.text, one.tokens) == (other.text, other.tokens)
            assert one.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-3)
            assert one.no_speech_prob == pytest.approx(other.no_speech_prob, abs=1e-4)
            assert one.temperature == other.temperature
            assert [piece.data for piece in one.token_logprobs] == [
                piece.data for piece in other.token_logprobs
            ]
            logprobs = [piece.logprob for piece in other.token_logprobs]
            assert [piece.logprob for piece in one.token_logprobs] == pytest.approx(
                logprobs, abs=1e-2
            )
    assert texts >= 2 or all(found.rejected == "no speech" for found in answers[0])
