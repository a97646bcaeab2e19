"""Make small random Whisper models, and the tokens that Transformers writes with them."""

from __future__ import annotations

import copy
import re
from collections import abc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BatchEncoding,
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from asr.capabilities import EngineInfo
from asr.engines.engine import Window, WindowResult
from asr.engines.whisper.capacity import CapacityPlan
from asr.engines.whisper.checkpoint import Checkpoint, assemble
from asr.engines.whisper.engine import WhisperEngine
from asr.engines.whisper.model import onednn
from asr.engines.whisper.model.assembly import take
from asr.engines.whisper.model.weights import Packing
from asr.engines.whisper.result import PendingResult
from asr.engines.whisper.sequence import Sequence
from asr.options import Options
from asr.pcm import SAMPLE_RATE, Samples

INFO = EngineInfo(model_id="random", engine="whisper", device_name="", hardware="")
SECONDS = 2  # A window of these models lasts so many seconds.
POSITIONS = 48  # Their decoders have so many positions.
SPREAD = 2.0  # Their logits have about this standard deviation.


@dataclass(frozen=True)
class Shape:
    """Holds what distinguishes the published checkpoints, at small widths."""

    mels: int
    vocabulary: int
    languages: int  # 0: English only
    encoder_layers: int
    decoder_layers: int
    heads: int
    width: int


TINY = Shape(80, 51865, 99, encoder_layers=2, decoder_layers=2, heads=3, width=48)
TINY_ENGLISH = Shape(80, 51864, 0, encoder_layers=2, decoder_layers=2, heads=2, width=32)
LARGE_V3 = Shape(128, 51866, 100, encoder_layers=3, decoder_layers=3, heads=4, width=64)
DISTIL = Shape(128, 51866, 100, encoder_layers=3, decoder_layers=2, heads=4, width=64)
WIDE_HEADS = Shape(80, 51865, 99, encoder_layers=2, decoder_layers=2, heads=2, width=128)
SHAPES = {"tiny": TINY, "tiny.en": TINY_ENGLISH, "large-v3": LARGE_V3, "distil": DISTIL}


# Windows take these in turn.
OPTIONS = [
    Options(language="en"),
    Options(language="de", timestamps="none"),
    Options(language="fr", task="translate"),
    Options(language="en", prompt="11 22 333 4444"),
    Options(language="uk", prompt="5 6", timestamps="none", task="translate"),
    Options(),  # the language is to be detected
    Options(timestamps="none"),
    Options(prompt="1234 99"),
]


def windows(count: int, options: abc.Sequence[Options] = OPTIONS) -> list[Window]:
    """Return windows of different lengths, with the options in turn."""
    return [
        Window(noise(seed, 0.5 + seed % 4 / 2), 0.0, options[seed % len(options)])
        for seed in range(count)
    ]


class NumberTokenizer:
    """Writes every token as its number."""

    def __init__(self, generation_config: GenerationConfig) -> None:
        self.eos_token_id = generation_config.eos_token_id
        self._start_of_previous = generation_config.prev_sot_token_id

    def convert_tokens_to_ids(self, token: str) -> int:
        assert token == "<|startofprev|>"
        return self._start_of_previous

    def get_prompt_ids(self, prompt: str) -> np.ndarray[Any, Any]:
        return np.array([self._start_of_previous, *(int(word) for word in prompt.split())])

    def __call__(
        self, text: str, add_special_tokens: bool, split_special_tokens: bool = True
    ) -> BatchEncoding:
        assert not add_special_tokens
        assert split_special_tokens
        numbers = re.findall(r"\d+", text)
        return BatchEncoding({"input_ids": [int(number) for number in numbers]})

    def convert_ids_to_tokens(self, token: Any) -> Any:
        return [f"Ġ{each}" for each in token] if isinstance(token, list) else f"Ġ{token}"

    def decode(
        self, tokens: list[int], skip_special_tokens: bool, clean_up_tokenization_spaces: bool
    ) -> str:
        assert skip_special_tokens
        assert not clean_up_tokenization_spaces
        return "".join(f" {token}" for token in tokens if token < self.eos_token_id)


def generation_config(shape: Shape) -> GenerationConfig:
    """Return a config with the special tokens where the published checkpoint has them."""
    end = 50257 if shape.languages else 50256
    last_language = end + 1 + max(shape.languages, 99)
    no_timestamps = last_language + 6
    settings: dict[str, Any] = {
        "decoder_start_token_id": end + 1,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "prev_sot_token_id": last_language + 4,
        "no_timestamps_token_id": no_timestamps,
        "max_initial_timestamp_index": 50,
        "max_length": POSITIONS,
        "suppress_tokens": [1, 2, 7, 220, 50000, end + 1, last_language + 4, last_language + 5],
        "begin_suppress_tokens": [220, end],
        "is_multilingual": bool(shape.languages),
    }
    if shape.languages:
        codes = list(LANGUAGES)[: shape.languages]
        settings["lang_to_id"] = {f"<|{code}|>": end + 2 + i for i, code in enumerate(codes)}
        settings["task_to_id"] = {"translate": last_language + 1, "transcribe": last_language + 2}
    return GenerationConfig(**settings)


def random_model(shape: Shape, seed: int = 0, ends: bool = True) -> Any:
    """Return a model that writes words and times and sometimes ends a text.

    It never ends one where `ends` is false. Its logits spread, so that times together are as likely
    as the best word, and differ enough between tokens for rounding not to decide.
    """
    config = WhisperConfig(
        vocab_size=shape.vocabulary,
        num_mel_bins=shape.mels,
        d_model=shape.width,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads,
        encoder_ffn_dim=2 * shape.width,
        decoder_ffn_dim=2 * shape.width,
        max_source_positions=SECONDS * 50,
        max_target_positions=POSITIONS,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config).eval()
    model.generation_config = generation_config(shape)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed" in name:
                parameter.normal_(0, SPREAD / shape.width**0.5)
            elif parameter.ndim >= 2:
                parameter.normal_(0, 2 * parameter[0].numel() ** -0.5)
            elif "norm" not in name:
                parameter.normal_(0, 0.1)
        end = model.model.decoder.embed_tokens.weight[model.generation_config.eos_token_id]
        end.mul_(3.0 if ends else 0.0)
    return model


def extractor(shape: Shape) -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=shape.mels, chunk_length=SECONDS)


def checkpoint(
    model: Any, shape: Shape, keeps_encoder_output: bool = False, quantizes: bool = False
) -> Checkpoint:
    """Copy the model into a checkpoint as the engine takes it.

    Args:
        keeps_encoder_output: with weights for slots that keep the encoder's output, as on a GPU.
    """
    tokenizer = NumberTokenizer(model.generation_config)
    with pytest.MonkeyPatch.context() as patch:
        if keeps_encoder_output:
            patch.setattr(onednn, "is_usable", lambda _: False)
        weights = take(copy.deepcopy(model).state_dict(), model.config, quantizes)
    return assemble(weights, model.generation_config, extractor(shape), tokenizer)


def noise(seed: int, seconds: float = SECONDS) -> Samples:
    generator = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    swell = np.sin(np.arange(count) / generator.uniform(500, 5000))
    return (generator.normal(0, 0.1, count) * swell).astype(np.float32)


def reference(model: Any, extract: Any, samples: Samples, options: Options) -> list[int]:
    """Return the tokens that Transformers' `generate` writes, end of text included."""
    features = extract(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    config = model.generation_config
    prompt = None
    if options.prompt:
        words = [int(word) for word in options.prompt.split()]
        prompt = torch.tensor([config.prev_sot_token_id, *words])
    written = model.generate(
        features,
        language=options.language if config.is_multilingual else None,
        task=options.task if config.is_multilingual else None,
        return_timestamps=options.timestamps != "none",
        prompt_ids=prompt,
        num_beams=1,
        do_sample=False,
        force_unique_generate_call=True,
    )[0].tolist()
    opening = (3 if config.is_multilingual else 1) + (options.timestamps == "none")
    return written[opening + (0 if prompt is None else len(prompt)) :]


class RecordingEngine(WhisperEngine):
    """Keeps the sequence of each window, with all its tokens."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.sequences: dict[Window, Sequence] = {}
        super().__init__(*arguments, **named)

    def _final(self, sequence: Sequence) -> PendingResult:
        self.sequences[sequence.window] = sequence
        return super()._final(sequence)


class Caller:
    """Feeds windows to an engine as it has room, and keeps the answers."""

    def __init__(self, engine: WhisperEngine) -> None:
        self.engine = engine
        self.finals: dict[Window, WindowResult] = {}
        self.languages: dict[Window, WindowResult] = {}  # ahead of the text
        self.early: dict[Window, list[WindowResult]] = {}  # with segments, ahead of the rest

    def step(self, admitted: abc.Sequence[Window]) -> None:
        assert len(admitted) <= self.engine.free()
        for result in self.engine.step(admitted):
            assert result.window not in self.finals, "too late"
            if not result.is_final and result.segments:
                self.early.setdefault(result.window, []).append(result)
                continue
            known = self.finals if result.is_final else self.languages
            assert result.window not in known, "answered twice"
            known[result.window] = result

    def run(self, windows: abc.Sequence[Window]) -> None:
        waiting = list(windows)
        steps = 0
        while waiting or self.engine.held():
            steps += 1
            assert steps < 10_000, "the engine does not come to an end"
            free = self.engine.free()
            admitted, waiting = waiting[:free], waiting[free:]
            self.step(admitted)


def plan(loaded: Checkpoint, **changes: Any) -> CapacityPlan:
    """Return a small plan with the kind of slots that `loaded` was made for.

    With packed weights a slot stores keys and values.
    """
    settings: dict[str, Any] = {
        "slots": 4,
        "encoder_batch": 2,
        "steps": 1,
        "launches": 4,
        "lookahead": 0,
        "few_rows": 4,
        "encoder_spacing": 0,
        "side_by_side": loaded.weights.packing is Packing.INT8,
        "keeps_encoder_output": not loaded.weights.decoder.head.is_packed,
    }
    return CapacityPlan(**{**settings, **changes})


def recording(loaded: Checkpoint, limit: int | None = None, **changes: Any) -> RecordingEngine:
    """Return an engine over `loaded` with a plan of `plan(loaded, **changes)`."""
    return RecordingEngine(loaded, plan(loaded, **changes), INFO, limit)


def written(engine: RecordingEngine, windows: abc.Sequence[Window]) -> list[list[int]]:
    """Run all windows through `engine` and return the tokens of each."""
    caller = Caller(engine)
    caller.run(windows)
    assert all(caller.finals[window].error is None for window in windows)
    return [engine.sequences[window].tokens for window in windows]
