"""Read a Whisper checkpoint: weights, tokens, and how windows are opened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import AutoConfig

from asr.config.config import Config
from asr.config.setting import MODEL_FILE
from asr.engines.model_files import reading
from asr.engines.model_layout import TRANSFORMERS, CheckpointLayout, ModelSource
from asr.engines.whisper.compatibility import check_tokens
from asr.engines.whisper.decoding.logits import LogitsRules
from asr.engines.whisper.decoding.prompt import Prompt
from asr.engines.whisper.decoding.sampling import seed_of
from asr.engines.whisper.decoding.tokens import Vocabulary, prefix_tokens
from asr.engines.whisper.layouts.description import Description
from asr.engines.whisper.model.alignment import heads_of
from asr.engines.whisper.model.assembly import take
from asr.engines.whisper.model.features import LogMel
from asr.engines.whisper.model.weights import Weights
from asr.engines.whisper.runner import UNDETECTED, Opening
from asr.options import Options
from asr.pcm import SAMPLE_RATE


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model: its weights, its tokenizer, and the rules of its tokens."""

    weights: Weights
    log_mel: LogMel
    tokenizer: Any
    vocabulary: Vocabulary
    rules: LogitsRules
    written: str = "Transformers"  # in which layout and number format, for people

    @property
    def longest(self) -> int:
        """Tokens that the decoder has positions for, opening included."""
        return int(self.weights.decoder.positions.shape[0])

    @property
    def window_seconds(self) -> float:
        """The longest window, in seconds."""
        return self.log_mel.window_samples / SAMPLE_RATE

    def prompt(self, options: Options) -> Prompt:
        """Return the prompt of a window with these options.

        Raises:
            BadRequest: special tokens in it.
        """
        return Prompt.of(options, self.tokenizer, self.longest)

    def opening(self, options: Options) -> Opening:
        """Return the opening of a window with these options.

        Raises:
            BadRequest: a language that the model does not know, special tokens in the prefix, or
                a prefix that leaves no room for what follows it.
        """
        vocabulary = self.vocabulary
        known = next(iter(vocabulary.languages), None)  # a placeholder for the language to detect
        tokens = vocabulary.opening(options, options.language or known)
        if known is not None and options.language is None:
            tokens[1] = UNDETECTED
        prompt = self.prompt(options).tokens
        before = [*prompt, *tokens]
        room = self.longest - len(before) - 1
        end = vocabulary.end_of_text
        prefix = prefix_tokens(options.prefix, self.tokenizer, end, room) if options.prefix else []
        return Opening(
            tokens=(*before, *prefix),
            start=len(prompt),
            is_timed=options.timestamps != "none" and options.prefix is None,
            prefix=tuple(prefix),
            temperature=options.temperature,
            seed=seed_of(options, options.temperature),
            languages=tuple(vocabulary.language(code) for code in options.languages)
            if vocabulary.languages
            else (),
            aligns=options.timestamps == "word",
        )


def is_whisper(config: Config, source: ModelSource = TRANSFORMERS) -> bool:
    """Return whether this engine runs the model of `config`; all other layouts are Whisper's."""
    if source.layout is not CheckpointLayout.TRANSFORMERS:
        return True
    with reading(config, MODEL_FILE):
        description = AutoConfig.from_pretrained(config.model_path, cache_dir=config.cache_dir)
        is_quantized = getattr(description, "quantization_config", None) is not None
        return bool(
            description.model_type == "whisper"
            and description.activation_function == "gelu"
            and not is_quantized
        )


def read(
    config: Config,
    said: Description,
    device: torch.device,
    dtype: torch.dtype,
    quantizes: bool = False,
) -> Checkpoint:
    """Load the model of `config`, as its files describe it, onto `device`.

    cuDNN's attention is turned off, because it plans for half a second for each new shape, and
    before its 9.15.1 it is wrong at 1500 frames (pytorch#169849).

    Args:
        quantizes: hold the matrices in int8, on a CPU that multiplies in it.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    tensors = said.open_weights(device, dtype)
    with reading(config, tensors.name):
        weights = take(tensors, said.settings, quantizes)
    with reading(config, said.names.generation):
        checkpoint = assemble(weights, said.generation, said.extractor, said.tokenizer)
        check_tokens(config, said.settings, checkpoint.vocabulary, said.names.generation)
    return replace(checkpoint, written=said.written)


def assemble(
    weights: Weights, generation_config: Any, extractor: Any, tokenizer: Any
) -> Checkpoint:
    """Put a checkpoint together from its weights and what Transformers' classes read."""
    vocabulary = Vocabulary.of(generation_config, tokenizer)
    decoder = weights.decoder
    aligning = heads_of(generation_config, len(decoder.layers), decoder.heads)
    weights = replace(weights, decoder=replace(decoder, aligning=aligning))
    return Checkpoint(
        weights,
        LogMel.of(extractor, weights.device),
        tokenizer,
        vocabulary,
        LogitsRules.of(
            generation_config, vocabulary, weights.vocabulary_size, weights.decoder.positions
        ),
    )
