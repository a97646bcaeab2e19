"""Read the files that Transformers writes for a Whisper model, from a directory or the hub."""

from __future__ import annotations

from functools import partial

from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperTokenizer

from asr.config.config import Config
from asr.config.setting import MODEL_FILE
from asr.engines.model_files import FEATURES_FILE, TOKENIZER_FILE, reading
from asr.engines.whisper import generation_settings
from asr.engines.whisper.compatibility import (
    check_features,
    check_shape,
    check_tokenizer_files,
    open_weights,
)
from asr.engines.whisper.layouts.description import Description, FileNames


def describe(config: Config) -> Description:
    """Read all but the weights.

    Raises:
        ConfigError: a file is missing or damaged, or does not fit the others.
    """
    place, cache = config.model_path, config.cache_dir
    with reading(config, MODEL_FILE):
        settings = WhisperConfig.from_pretrained(place, cache_dir=cache)
        check_shape(config, settings)
    with reading(config, FEATURES_FILE):
        extractor = WhisperFeatureExtractor.from_pretrained(place, cache_dir=cache)
        check_features(config, settings, extractor)
    check_tokenizer_files(config)
    with reading(config, TOKENIZER_FILE):
        tokenizer = WhisperTokenizer.from_pretrained(place, cache_dir=cache)
    generation = generation_settings.read(config, settings, tokenizer)
    opened = partial(open_weights, config, settings)
    return Description(
        settings, extractor, tokenizer, generation, opened, FileNames(), "Transformers"
    )
