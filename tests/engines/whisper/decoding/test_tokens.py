"""Tokens become segments and bytes of text as in Transformers, for the embedded model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import soundfile
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from asr.config.config import DEMO_MODEL, Config
from asr.engines.engine import Window
from asr.engines.hardware import Machine
from asr.engines.whisper.decoding.tokens import BYTES, segments, token_bytes
from asr.engines.whisper.engine import WhisperEngine
from asr.engines.whisper.load import load
from asr.options import Options
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcript import Segment
from tests.support.models import Caller, noise

CONFIG = Config(model_id="demo", dtype="float32")

pytestmark = pytest.mark.skipif(
    not (DEMO_MODEL / "model.safetensors").exists(), reason="the embedded model is missing"
)


@pytest.fixture(scope="module")
def demo() -> WhisperEngine:
    return load(CONFIG, Machine(None, None, has_flash_attention=False))


def sounds() -> Iterator[Samples]:
    """The samples beside the weights, as far as a window goes, and noise."""
    for path in sorted((DEMO_MODEL.parent / "samples").glob("*.flac"))[:4]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if rate == SAMPLE_RATE:
            yield np.ascontiguousarray(samples[: 30 * SAMPLE_RATE, 0])
    yield noise(0, 4.0)


@pytest.mark.parametrize(
    "options",
    [
        Options(language="en"),
        Options(language="en", timestamps="none"),
        Options(language="en", prompt="good morning"),
        Options(),
    ],
)
def test_segments_are_those_of_generate(demo: WhisperEngine, options: Options) -> None:
    processor = WhisperProcessor.from_pretrained(CONFIG.model_path)
    model = WhisperForConditionalGeneration.from_pretrained(CONFIG.model_path).eval()
    asked = [Window(samples, 0.0, options) for samples in sounds()]
    caller = Caller(demo)
    caller.run(asked)
    prompt = None
    if options.prompt:
        prompt = processor.tokenizer.get_prompt_ids(options.prompt, return_tensors="pt")
    opening = 3 + (options.timestamps == "none") + (0 if prompt is None else len(prompt))
    for window in asked:
        features = processor.feature_extractor(
            window.samples, sampling_rate=SAMPLE_RATE, return_tensors="pt"
        ).input_features
        [tokens] = model.generate(
            features,
            language=options.language,
            task="transcribe",
            return_timestamps=options.timestamps != "none",
            prompt_ids=prompt,
            num_beams=1,
            do_sample=False,
            force_unique_generate_call=True,
        ).tolist()
        parts = demo._checkpoint
        expected = segments(tokens[opening:], parts.vocabulary, parts.tokenizer, window.seconds)
        assert fields(caller.finals[window].segments) == fields(expected)


def fields(segments: Sequence[Segment]) -> list[tuple[float, float, str, tuple[int, ...]]]:
    return [(s.start, s.end, s.text, s.tokens) for s in segments]


def test_pieces_are_the_bytes_of_the_text(demo: WhisperEngine) -> None:
    options = Options(language="en", logprobs=True)
    asked = [Window(samples, 0.0, options) for samples in sounds()]
    caller = Caller(demo)
    caller.run(asked)
    found = [segment for window in asked for segment in caller.finals[window].segments]
    for segment in found:
        assert b"".join(piece.data for piece in segment.token_logprobs) == segment.text.encode()
        assert all(piece.logprob <= 0 for piece in segment.token_logprobs)
    assert sum(len(segment.token_logprobs) for segment in found) > 5


def test_letters_of_every_script_are_their_tokens_bytes(demo: WhisperEngine) -> None:
    tokenizer, text = demo._checkpoint.tokenizer, " naïve — Київ 東京 🙂 «ok»\n\t~"
    tokens = tokenizer.encode(text, add_special_tokens=False)
    assert b"".join(token_bytes(token, tokenizer) for token in tokens) == text.encode()
    logprobs = [-0.5] * len(tokens)
    [segment] = segments(tokens, demo._checkpoint.vocabulary, tokenizer, 9.0, logprobs)
    assert segment.text == text
    assert b"".join(piece.data for piece in segment.token_logprobs) == text.encode()


def test_special_tokens_in_a_prompt_are_text(demo: WhisperEngine) -> None:
    window = Window(noise(0, 1.0), 0.0, Options(language="en", prompt="hello <|endoftext|>"))
    caller = Caller(demo)
    caller.run([window])
    assert caller.finals[window].error is None
    assert demo.held() == 0


def test_every_byte_has_a_letter_of_its_own() -> None:
    assert sorted(BYTES.values()) == [bytes([byte]) for byte in range(256)]
    assert BYTES["Ġ"] == b" "
    assert BYTES["Ċ"] == b"\n"
    assert BYTES["a"] == b"a"
