"""Load a Whisper checkpoint and plan how many of its windows are decoded together."""

from __future__ import annotations

import logging

from asr.capabilities import EngineInfo
from asr.config.config import Config
from asr.engines.hardware import Hardware
from asr.engines.model_layout import TRANSFORMERS, ModelSource
from asr.engines.whisper import checkpoint as checkpoints
from asr.engines.whisper.capacity import plan
from asr.engines.whisper.engine import WhisperEngine

log = logging.getLogger(__name__)


def load(config: Config, hardware: Hardware, source: ModelSource = TRANSFORMERS) -> WhisperEngine:
    """Load the model of `config`, and plan for the memory that is left."""
    how = {"quantizes": True} if hardware.quantizes else {}
    checkpoint = checkpoints.read(config, hardware.torch_device, hardware.dtype, source, **how)
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
