"""The sizes of a Whisper model, and what follows from them where no file says it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor

from asr.config.config import Config
from asr.engines.model_files import UnusableFile, reading
from asr.engines.whisper import generation_settings
from asr.engines.whisper.compatibility import check_features, check_shape
from asr.engines.whisper.layouts import published, tokenizer_files
from asr.engines.whisper.layouts.description import FileNames
from asr.engines.whisper.shapes import wrong_shape

POSITIONS_PER_SECOND = 50  # The encoder's output has so many positions for a second of audio.
FIRST_LAYER = "model.{side}.layers.0.fc1.weight"  # Its rows are the width inside all layers.
SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")

ShapeOf = Callable[[str], Sequence[int]]  # by the name of a tensor; KeyError where there is none


@dataclass(frozen=True)
class Sizes:
    """The sizes that a checkpoint's file says itself."""

    tokens: int
    mels: int
    frames: int  # positions of the encoder
    positions: int  # of the decoder
    width: int
    encoder_layers: int
    decoder_layers: int
    encoder_heads: int
    decoder_heads: int
    is_tied: bool = True  # whether the embeddings are the head, too


def checked_settings(config: Config, name: str, sizes: Sizes, shape: ShapeOf) -> WhisperConfig:
    """Return the configuration of a model, once all its tensors have the shapes asked for.

    Args:
        name: the file, for messages.

    Raises:
        ConfigError: a size is impossible, or a tensor is missing or of another shape.
    """
    with reading(config, name):
        try:
            inner = [shape(FIRST_LAYER.format(side=side))[0] for side in ("encoder", "decoder")]
            settings = _settings(sizes, *inner)
            check_shape(config, settings, name)
            fault = wrong_shape(shape, settings, "the file's header")
        except KeyError as error:
            raise UnusableFile(f"has no tensor {error}") from error
        if fault:
            raise UnusableFile(f"is damaged: {fault}")
    return settings


def extractor_of(config: Config, name: str, settings: WhisperConfig) -> WhisperFeatureExtractor:
    """Return the feature extractor that every model of these sizes has."""
    with reading(config, name):
        seconds = settings.max_source_positions // POSITIONS_PER_SECOND
        extractor = WhisperFeatureExtractor(
            feature_size=settings.num_mel_bins, chunk_length=seconds
        )
        check_features(config, settings, extractor, name)
    return extractor


def tokenizer_of(config: Config, directory: Path, vocabulary: int) -> tuple[Any, str] | None:
    """Return the tokenizer that lies in a directory, and the name of its file, if there is one.

    Raises:
        ConfigError: it is damaged, or another model's.
    """
    name = tokenizer_files.name_in(directory, vocabulary)
    if name is None:
        return None
    with reading(config, name):
        return tokenizer_files.read(directory / name, vocabulary), name


def generation_of(
    config: Config,
    settings: WhisperConfig,
    tokenizer: Any,
    names: FileNames,
    said: dict[str, Any] | None = None,
) -> GenerationConfig:
    """Return the settings of generation, in place of the file that Transformers has for them.

    Args:
        said: what the checkpoint says itself; the rest is as published for its sizes.
    """
    if said is None:
        with reading(config, names.tokenizer):
            never, first = published.suppressed(tokenizer, settings.vocab_size)
        said = {"suppress_tokens": never, "begin_suppress_tokens": first}
    heads = said.get("alignment_heads") or published.alignment_heads(settings)
    values = {**said, "alignment_heads": heads and [list(head) for head in heads]}
    found = GenerationConfig(**{key: value for key, value in values.items() if value is not None})
    generation_settings.complete(found, config, settings, tokenizer, names.tokenizer)
    for key in SPECIAL_IDS:
        setattr(settings, key, found.eos_token_id)
    settings.decoder_start_token_id = found.decoder_start_token_id
    return found


def _settings(sizes: Sizes, encoder_inner: int, decoder_inner: int) -> WhisperConfig:
    return WhisperConfig(
        vocab_size=sizes.tokens,
        num_mel_bins=sizes.mels,
        d_model=sizes.width,
        max_source_positions=sizes.frames,
        max_target_positions=sizes.positions,
        encoder_layers=sizes.encoder_layers,
        decoder_layers=sizes.decoder_layers,
        encoder_attention_heads=sizes.encoder_heads,
        decoder_attention_heads=sizes.decoder_heads,
        encoder_ffn_dim=encoder_inner,
        decoder_ffn_dim=decoder_inner,
        tie_word_embeddings=sizes.is_tied,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        **dict.fromkeys(SPECIAL_IDS, 0),  # they are known with the tokenizer
        architectures=["WhisperForConditionalGeneration"],
    )
