"""Describe the number formats of this CPU, and which of them DTYPE=auto chooses for a model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import WhisperConfig

from asr.engines.whisper.dtypes.choice import MeasuredFormats, is_allowed
from asr.engines.whisper.dtypes.measurement import FORMATS, INT8, ModelShape
from asr.engines.whisper.model.weights import linear, make_linear

# A processor's flags with these beginnings are about arithmetic.
ARITHMETIC = ("avx", "amx", "sve", "sme", "neon", "asimd", "dot", "i8mm", "bf16")


@dataclass(frozen=True)
class Choice:
    """Holds what DTYPE=auto chooses for a model on this CPU, and what it could have chosen."""

    name: str
    reason: str
    candidates: Sequence[str]


def choice(checkpoint: Path) -> Choice:
    """Measure as a server does at its first start."""
    shape = ModelShape.of(WhisperConfig(**json.loads((checkpoint / "config.json").read_text())))
    with tempfile.TemporaryDirectory() as cache:
        chosen = MeasuredFormats(shape, Path(cache)).fastest()
    candidates = [name for name in supported() if is_allowed(name, shape.width)]
    return Choice(chosen.name, chosen.reason, candidates)


def supported() -> list[str]:
    """Return the formats in which this CPU multiplies, as the setting DTYPE names them."""
    return [one.name for one in FORMATS if one.packing() is not None]


def flags() -> str:
    """Return the processor's flags that are about arithmetic."""
    capabilities = torch.cpu.get_capabilities()
    named = [name for name in capabilities if name.startswith(ARITHMETIC)]
    return " ".join(sorted(name for name in named if capabilities[name] is True)) or "none known"


def int8_product(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return a function that multiplies by a matrix [out, in] as our engine does in int8.

    Returns:
        None where this CPU has no such products.
    """
    packing = INT8.packing()
    if packing is None:
        return None
    layer = make_linear(weight, None, packing)
    return lambda x: linear(x, layer)
