"""Load a Whisper checkpoint and plan how many of its windows are decoded together."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from asr.capabilities import EngineInfo
from asr.config.config import Config
from asr.engines.hardware import Machine, choose
from asr.engines.model_layout import TRANSFORMERS, ModelSource
from asr.engines.whisper import checkpoint as checkpoints
from asr.engines.whisper.capacity import plan
from asr.engines.whisper.dtypes.choice import MeasuredFormats
from asr.engines.whisper.dtypes.measurement import ModelShape
from asr.engines.whisper.engine import WhisperEngine
from asr.engines.whisper.layouts.describe import describe
from asr.resources.freed_memory import trim_function

log = logging.getLogger(__name__)


def load(config: Config, machine: Machine, source: ModelSource = TRANSFORMERS) -> WhisperEngine:
    """Load the model of `config`, and plan for the memory that is left.

    FLASH_ATTENTION_2 has no effect on this engine's attention.
    """
    said = describe(config, source)
    formats = MeasuredFormats(ModelShape.of(said.settings), Path(config.cache_dir))
    hardware = choose(replace(config, flash_attention_2=False), machine, formats)
    checkpoint = checkpoints.read(
        config, said, hardware.torch_device, hardware.dtype, hardware.quantizes
    )
    trim_function()(0)  # The float copies of int8 matrices left holes: 400 MB for small.
    planned = plan(checkpoint.weights)
    log.info("planned: %s", planned)
    vocabulary = checkpoint.vocabulary
    info = EngineInfo(
        model_id=config.model_id,
        engine="whisper",
        device_name=hardware.device_name,
        hardware=hardware.reason,
        checkpoint=checkpoint.written,
        languages=vocabulary.language_names,
        can_translate=bool(vocabulary.tasks),
        can_prompt=True,
        can_prefix=True,
        has_words=True,
        has_logprobs=True,
        longest_window=checkpoint.window_seconds,
    )
    return WhisperEngine(checkpoint, planned, info, config.max_new_tokens)
