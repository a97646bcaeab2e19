"""What the files of a Whisper checkpoint say, in Transformers' classes, whatever their layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor

from asr.config.setting import MODEL_FILE
from asr.engines.model_files import FEATURES_FILE, GENERATION_FILE, TOKENIZER_FILE
from asr.engines.whisper.model.assembly import NamedTensors


class TensorSource(NamedTensors, Protocol):
    """Tensors of files, each read when it is asked for."""

    @property
    def name(self) -> str:
        """The file that messages name."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, which is not read for it."""
        ...


@dataclass(frozen=True)
class FileNames:
    """The files that say what a description holds, for messages."""

    settings: str = MODEL_FILE
    features: str = FEATURES_FILE
    tokenizer: str = TOKENIZER_FILE
    generation: str = GENERATION_FILE


@dataclass(frozen=True)
class Description:
    """All that a checkpoint says, its weights still in their files."""

    settings: WhisperConfig
    extractor: WhisperFeatureExtractor
    tokenizer: Any
    generation: GenerationConfig
    open_weights: Callable[[torch.device, torch.dtype], TensorSource]
    names: FileNames
    written: str  # the layout and the number format, for people
