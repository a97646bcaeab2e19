"""Choose the number format in which this CPU transcribes fastest."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asr.engines.hardware import ChosenFormat
from asr.engines.whisper.dtypes import kept
from asr.engines.whisper.dtypes.measurement import FORMATS, ModelShape, measure

log = logging.getLogger(__name__)

# A format that takes at most so many times as long as the fastest is as good as that one.
TIE = 1.05
# A format is chosen for models of at least this width: Whisper base's, which was measured.
# Infinity: its text is not known to be as good. Of the words of recordings int8 has 0.2 points
# fewer wrong and bfloat16 0.4 more, where 0.3 may be lost (benchmark/RESULTS.md).
LEAST_WIDTHS: Mapping[str, float] = {"float32": 0, "bfloat16": math.inf, "int8": 512}


@dataclass(frozen=True)
class MeasuredFormats:
    """Tells which number formats this machine has, and the fastest of them for a model."""

    shape: ModelShape
    cache: Path  # the directory in which the figures are kept
    measure: Callable[[ModelShape], Mapping[str, float]] = field(default=measure)

    def supports(self, name: str) -> bool:
        """Whether this CPU multiplies in the format `name`."""
        return any(one.name == name and one.packing() is not None for one in FORMATS)

    def fastest(self) -> ChosenFormat:
        """Return the format for DTYPE=auto, by figures that are kept or measured now."""
        key = kept.fingerprint(self.shape)
        seconds = kept.read(self.cache, key)
        if seconds is None:
            began = time.monotonic()
            seconds = self.measure(self.shape)
            log.info("measured the number formats in %.2f s", time.monotonic() - began)
            kept.write(self.cache, key, seconds)
        name = choose(seconds, self.shape.width)
        return ChosenFormat(name, described(name, seconds, self.shape))


def choose(seconds: Mapping[str, float], width: int) -> str:
    """Return the most exact of the formats that are as fast as the fastest one.

    Args:
        seconds: of a window, by the name of each format that this machine has.
        width: of the model.
    """
    allowed = [one.name for one in FORMATS if one.name in seconds and is_allowed(one.name, width)]
    fastest = min(seconds[name] for name in allowed)
    return next(name for name in allowed if seconds[name] <= TIE * fastest)


def is_allowed(name: str, width: int) -> bool:
    """Whether the texts of models of this width are as good in the format as in float32."""
    return width >= LEAST_WIDTHS[name]


def described(name: str, seconds: Mapping[str, float], shape: ModelShape) -> str:
    """Return the figures of the chosen format and of the others, for people."""
    speeds = {one: f"{shape.window_flops / taken / 1e9:.0f}" for one, taken in seconds.items()}
    others = []
    for other in (one.name for one in FORMATS if one.name != name):
        if other not in speeds:
            others.append(f"{other} unsupported")
        elif is_allowed(other, shape.width):
            others.append(f"{other} {speeds[other]}")
        else:
            others.append(f"{other} {speeds[other]} but of unproven accuracy")
    return ", ".join([f"measured on one core: {speeds[name]} GFLOP/s", *others])
