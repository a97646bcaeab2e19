"""Run one random model both in Transformers and in the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import WhisperFeatureExtractor

from asr.engines.whisper.checkpoint import Checkpoint
from asr.options import Options
from asr.pcm import Samples
from tests.support import models


@dataclass(frozen=True)
class Twins:
    """Holds one model as Transformers runs it and as the engine does."""

    shape: models.Shape
    model: Any
    extractor: WhisperFeatureExtractor
    checkpoint: Checkpoint

    @classmethod
    def of(
        cls, shape: models.Shape, ends: bool = True, keeps_encoder_output: bool = False
    ) -> Twins:
        model = models.random_model(shape, ends=ends)
        loaded = models.checkpoint(model, shape, keeps_encoder_output)
        return cls(shape, model, models.extractor(shape), loaded)

    def reference(self, samples: Samples, options: Options) -> list[int]:
        return models.reference(self.model, self.extractor, samples, options)
