"""Words are where they were said: both engines, against the synthesiser and Transformers."""

import difflib

import numpy as np
import pytest
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from asr.config.config import Config
from asr.engines import load as engines
from asr.engines.engine import Window
from asr.options import Options
from models.demo import synthesise
from tests.conftest import RATE
from tests.support.models import Caller

pytestmark = pytest.mark.usefixtures("needs_demo_model")

TIMED = Options(timestamps="word")
CONFIG = Config(model_id="demo", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def recordings():
    """Known speech: lengths that share a batch, both languages."""
    lengths = {"en": (6, 12, 27), "es": (6, 12, 27)}
    return [
        synthesise.recording(seconds, language, seed=60 + seconds)
        for language, each in lengths.items()
        for seconds in each
    ]


@pytest.fixture(scope="module")
def results(recordings):
    """The words of each recording by each engine."""
    found = {}
    for kind in ("whisper", "pipeline"):
        engine = engines.load(Config(model_id="demo", device="cpu", dtype="float32", engine=kind))
        assert engine.info.has_words
        caller = Caller(engine)
        windows = [Window(made.samples, 0.0, TIMED) for made in recordings]
        caller.run(windows)
        found[kind] = [caller.finals[window] for window in windows]
    return found


def words(result):
    return [word for segment in result.segments for word in segment.words]


def plain(text):
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def pairs(said, timed):
    """(word, word) of two lists of (text, start, end) where they say the same."""
    texts = [plain(text) for text, *_ in said], [plain(text) for text, *_ in timed]
    matcher = difflib.SequenceMatcher(None, *texts, autojunk=False)
    return [
        (said[one + n], timed[other + n])
        for one, other, size in matcher.get_matching_blocks()
        for n in range(size)
    ]


def errors(said, timed):
    """Seconds between the starts, and the ends, of the words that two lists share."""
    found = [(b[1] - a[1], b[2] - a[2]) for a, b in pairs(said, timed)]
    assert len(found) > 0.6 * len(said)
    return np.abs(np.array(found))


@pytest.mark.parametrize("kind", ["whisper", "pipeline"])
def test_words_are_where_the_synthesiser_said_them(recordings, results, kind):
    off = np.concatenate(
        [
            errors(made.words, [(w.text, w.start, w.end) for w in words(result)])
            for made, result in zip(recordings, results[kind], strict=True)
        ]
    )
    assert np.median(off, axis=0) == pytest.approx([0, 0], abs=0.1)
    assert (off > 0.5).mean() < 0.1


@pytest.mark.parametrize("kind", ["whisper", "pipeline"])
def test_words_make_up_their_segments_within_their_times(results, kind):
    for result in results[kind]:
        assert result.segments
        for segment in result.segments:
            assert "".join(word.text for word in segment.words) == segment.text
            times = [t for word in segment.words for t in (word.start, word.end)]
            assert times == sorted(times)
            assert segment.start <= times[0]
            assert times[-1] <= segment.end
            assert all(word.end > word.start for word in segment.words)
            assert all(0 < word.probability <= 1 for word in segment.words)


def test_both_engines_write_the_same_words_at_the_same_times(results):
    for one, other in zip(results["whisper"], results["pipeline"], strict=True):
        for ours, theirs in zip(words(one), words(other), strict=True):
            assert ours.text == theirs.text
            assert ours.start == pytest.approx(theirs.start, abs=0.021)
            assert ours.probability == pytest.approx(theirs.probability, abs=1e-2)


def test_words_are_where_transformers_has_them(recordings, results):
    """Its own word timestamps on the same model: eager attention, one path through the window."""
    processor = WhisperProcessor.from_pretrained(CONFIG.model_path)
    model = WhisperForConditionalGeneration.from_pretrained(CONFIG.model_path).eval()
    off = []
    for made, result in zip(recordings, results["whisper"], strict=True):
        features = processor.feature_extractor(
            made.samples, sampling_rate=RATE, return_tensors="pt"
        )
        written = model.generate(
            features.input_features,
            num_frames=[len(made.samples) // 160],
            task="transcribe",
            language=result.language,
            return_timestamps=True,
            return_token_timestamps=True,
            num_beams=1,
            force_unique_generate_call=True,
        )
        _, about = processor.tokenizer._decode_asr(
            [
                {
                    "tokens": written["sequences"].numpy(),
                    "token_timestamps": written["token_timestamps"].numpy(),
                }
            ],
            return_timestamps="word",
            return_language=None,
            time_precision=0.02,
        )
        theirs = [(chunk["text"], *chunk["timestamp"]) for chunk in about["chunks"]]
        off.append(errors(theirs, [(w.text, w.start, w.end) for w in words(result)]))
    assert np.median(np.concatenate(off), axis=0) == pytest.approx([0, 0], abs=0.05)
