"""Check that the files of a Whisper model belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from asr.config.config import Config
from asr.config.parsers import has_file
from asr.config.setting import MODEL_FILE
from asr.engines.model_files import (
    FEATURES_FILE,
    GENERATION_FILE,
    TOKENIZER_FILE,
    is_directory,
    reading,
    unusable,
)
from asr.engines.whisper.decoding.tokens import Vocabulary
from asr.engines.whisper.shapes import wrong_shape
from asr.engines.whisper.weight_files import INDEX, SAFETENSORS, Tensors, find
from asr.pcm import SAMPLE_RATE

OLD_TOKENIZER_FILE = "vocab.json"  # Older models have it, with merges.txt, and no tokenizer.json.
STRIDE = 2  # The encoder has one position for so many frames of features.


def check_shape(config: Config, settings: Any, file: str = MODEL_FILE) -> None:
    """Check a model's sizes, each for itself and together.

    Args:
        file: that says them.

    Raises:
        ConfigError: names the size.
    """
    for name in ("d_model", "vocab_size", "num_mel_bins", "encoder_layers", "decoder_layers"):
        if not getattr(settings, name) >= 1:
            raise unusable(config, file, f"says {name} is {getattr(settings, name)}")
    for name in ("encoder_attention_heads", "decoder_attention_heads"):
        heads = getattr(settings, name)
        if heads < 1 or settings.d_model % heads:
            reason = f"says {name} is {heads}, which does not divide d_model {settings.d_model}"
            raise unusable(config, file, reason)


def check_tokenizer_files(config: Config) -> None:
    """Check that there is a tokenizer, because without files an empty one is made.

    Raises:
        ConfigError: the directory has none.
    """
    directory = Path(config.model_path)
    names = (TOKENIZER_FILE, OLD_TOKENIZER_FILE)
    if is_directory(config) and not any(has_file(directory, name) for name in names):
        raise unusable(config, TOKENIZER_FILE, "is missing")


def open_weights(
    config: Config, settings: Any, device: torch.device, dtype: torch.dtype
) -> Tensors:
    """Open the weights of a model in Transformers' layout, and check their shapes.

    Raises:
        ConfigError: a file is missing or damaged, or a tensor is missing or of another shape.
    """
    with reading(config, SAFETENSORS):
        files = find(config)
    name = files[0].name if len(files) == 1 else SAFETENSORS + INDEX
    with reading(config, name):
        tensors = Tensors(files, device, dtype, name)
        try:
            fault = wrong_shape(tensors.shape, settings)
        except KeyError as error:
            raise unusable(config, name, f"has no tensor {error}") from error
    if fault:
        raise unusable(config, name, f"is not of this model: {fault}")
    return tensors


def check_features(
    config: Config, settings: Any, extractor: Any, file: str = FEATURES_FILE
) -> None:
    """Check that the encoder takes the features that the extractor makes.

    Args:
        file: that says what the extractor is like.

    Raises:
        ConfigError: they have other numbers of mels or frames, or another sample rate.
    """
    frames = STRIDE * settings.max_source_positions
    for name, found, wanted in (
        ("sampling_rate", extractor.sampling_rate, SAMPLE_RATE),
        ("feature_size", extractor.feature_size, settings.num_mel_bins),
        ("chunk_length with hop_length", extractor.nb_max_frames, frames),
    ):
        if found != wanted:
            reason = f"does not fit the model: {name} gives {found}, and {wanted} is needed"
            raise unusable(config, file, reason)


def check_tokens(
    config: Config, settings: Any, vocabulary: Vocabulary, file: str = GENERATION_FILE
) -> None:
    """Check that the model has all special tokens.

    Args:
        file: that says what they are.

    Raises:
        ConfigError: one has no embedding.
    """
    numbers = {
        "start of transcript": vocabulary.start_of_transcript,
        "end of text": vocabulary.end_of_text,
        "start of previous": vocabulary.start_of_previous,
        "first timestamp": vocabulary.first_timestamp,
        **vocabulary.tasks,
        **vocabulary.languages,
    }
    for name, number in numbers.items():
        if not 0 <= number < settings.vocab_size:
            reason = f"or the tokenizer numbers {name!r} {number}, and there are "
            reason += f"{settings.vocab_size} tokens"
            raise unusable(config, file, reason)
    if vocabulary.languages and set(vocabulary.tasks) < {"transcribe", "translate"}:
        raise unusable(config, file, "has languages and not both tasks in task_to_id")
