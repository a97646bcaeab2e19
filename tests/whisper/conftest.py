"""Random models of each published shape, made once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import WhisperFeatureExtractor

from asr.transcript import Options
from asr.whisper.checkpoint import Checkpoint
from asr.windows import Samples

from . import models


@dataclass(frozen=True)
class Twins:
    """One model as Transformers runs it and as the engine does."""

    shape: models.Shape
    model: Any
    extractor: WhisperFeatureExtractor
    checkpoint: Checkpoint

    @classmethod
    def of(cls, shape: models.Shape, ends: bool = True) -> Twins:
        model = models.random_model(shape, ends=ends)
        return cls(shape, model, models.extractor(shape), models.checkpoint(model, shape))

    def reference(self, samples: Samples, options: Options) -> list[int]:
        return models.reference(self.model, self.extractor, samples, options)


@pytest.fixture(scope="session", params=models.SHAPES)
def twins(request: pytest.FixtureRequest) -> Twins:
    return Twins.of(models.SHAPES[request.param])


@pytest.fixture(scope="session")
def tiny() -> Twins:
    return Twins.of(models.TINY)


@pytest.fixture(scope="session")
def endless() -> Twins:
    """A model that never writes the end of text."""
    return Twins.of(models.TINY, ends=False)


@pytest.fixture(autouse=True)
def _same_chance() -> None:
    torch.manual_seed(0)
