"""Run one random model both in Transformers and in the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
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


def only(twins: Twins, *tokens: int) -> Twins:
    """A model that can write nothing but `tokens`."""
    rules = twins.checkpoint.rules
    forbidden = torch.full_like(rules.suppressed, -torch.inf)
    forbidden[list(tokens)] = 0.0
    rules = replace(rules, suppressed=forbidden, suppressed_first=forbidden)
    return replace(twins, checkpoint=replace(twins.checkpoint, rules=rules))
