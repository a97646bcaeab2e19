"""Describe a Whisper checkpoint of any layout."""

from __future__ import annotations

from asr.config.config import Config
from asr.engines.model_layout import CheckpointLayout, ModelSource
from asr.engines.whisper.layouts import ctranslate2, ggml, openai, transformers_files
from asr.engines.whisper.layouts.description import Description

OTHERS = {  # These layouts have all in one file, or beside it.
    CheckpointLayout.CTRANSLATE2: ctranslate2.describe,
    CheckpointLayout.OPENAI: openai.describe,
    CheckpointLayout.GGML: ggml.describe,
}


def describe(config: Config, source: ModelSource) -> Description:
    """Read what the checkpoint says; its weights are opened later.

    Raises:
        ConfigError: a file is missing or damaged; the message names it and the remedy.
    """
    if source.layout is CheckpointLayout.TRANSFORMERS:
        return transformers_files.describe(config)
    return OTHERS[source.layout](config, source)
