"""Define the engines that are compared, what each needs, and a round's work.

Nothing here or in `benchmark.engine_comparison.worker` needs more than the standard library and
numpy: both run in the contenders' own environments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]  # [samples], 16 kHz mono
# A round takes the windows of one file, clips of as many callers, or a file's first window.
Load = Literal["file", "clips", "first"]

SAMPLE_RATE = 16_000  # Windows have so many samples a second; not all environments have asr.pcm.
LANGUAGE = "en"  # Every engine is given this language, so that none spends a pass on detecting it.
BATCH = 16  # Engines with a fixed batch take so many windows at once.


class CannotRun(Exception):
    """A contender cannot run, or cannot do this task; the message says why."""


@dataclass(frozen=True)
class Settings:
    """Holds the weights, device and dtype that a contender is loaded with."""

    checkpoint: Path  # a Transformers Whisper checkpoint
    converted: Path  # where it may keep the weights in its own format
    device: str  # "cpu" or "cuda"
    dtype: str  # in the contender's own words
    threads: int

    @classmethod
    def of(cls, values: dict[str, Any]) -> Settings:
        paths = {name: Path(values[name]) for name in ("checkpoint", "converted")}
        return cls(**{**values, **paths})

    def plain(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            **asdict(self),
            "checkpoint": str(self.checkpoint),
            "converted": str(self.converted),
        }


@dataclass(frozen=True)
class Task:
    """Describes the work of one round."""

    load: Load
    windows: npt.NDArray[np.float32]  # [windows, samples], 16 kHz
    limits: Sequence[int] | None  # tokens of each window; None: as many as the model writes

    @property
    def limit(self) -> int | None:
        """Return the token limit that all windows share.

        Raises:
            CannotRun: the limits differ.
        """
        if self.limits is None:
            return None
        if len(set(self.limits)) > 1:
            raise CannotRun("it has one limit for a whole batch")
        return self.limits[0]

    def each(self) -> Iterator[tuple[Samples, int | None]]:
        """Return the windows one by one, each with its token limit."""
        limits = self.limits or repeat(None, len(self.windows))
        return zip(self.windows, limits, strict=True)


@dataclass
class RoundOutput:
    """Collects the tokens and times of a round while it runs."""

    tokens: list[int] = field(default_factory=list)  # written in each window
    finished: list[float] = field(default_factory=list)  # seconds since the start, each window


class Contender(Protocol):
    """Transcribes windows with a loaded engine; one thread uses it."""

    @property
    def versions(self) -> dict[str, str]: ...

    def transcribe(self, task: Task, output: RoundOutput, started: float) -> None:
        """Transcribe the task's windows and fill `output`.

        Args:
            started: the monotonic clock at the start.

        Raises:
            CannotRun: the engine cannot do this task at all.
        """
        ...


@dataclass(frozen=True)
class Entry:
    """Describes one engine of the comparison and how it is loaded."""

    name: str
    module: str  # whose `load(settings, **options)` gives the contender
    packages: tuple[str, ...]  # that must be importable
    environment: str | None = None  # the virtual environment it may have of its own
    dtypes: tuple[str, ...] = ("float32",)  # on a CPU
    gpu_dtypes: tuple[str, ...] = ("float16",)  # on a GPU; none: it does not run there
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""


HERE = ("torch", "transformers")  # The environment of this repository has these packages.
# The tables of a comparison may have a row for each of these.
ENTRIES = (
    Entry(
        "ours",
        "ours",
        HERE,
        dtypes=("float32", "bfloat16", "int8"),
        gpu_dtypes=("float16", "bfloat16"),
    ),
    Entry("pipeline engine", "ours", HERE, options={"kind": "pipeline"}, note="batches of 16"),
    Entry(
        "transformers greedy",
        "transformers_pipeline",
        HERE,
        options={"beams": 1},
        note="batches of 16",
    ),
    Entry(
        "transformers defaults",
        "transformers_pipeline",
        HERE,
        options={"beams": None},
        note="5 beams, 1.5 times the windows for strides, one at a time",
    ),
    Entry(
        "faster-whisper",
        "faster_whisper",
        ("faster_whisper", "ctranslate2"),
        "faster-whisper",
        dtypes=("int8",),
        options={"batched": False},
        note="greedy, no voice detection",
    ),
    Entry(
        "faster-whisper batched",
        "faster_whisper",
        ("faster_whisper", "ctranslate2"),
        "faster-whisper",
        dtypes=("int8",),
        options={"batched": True},
        note="greedy, no voice detection, batches of 16; clips as parts of one recording",
    ),
    Entry(
        "OpenVINO GenAI",
        "openvino_genai",
        ("openvino_genai",),
        "openvino",
        dtypes=("int8",),
        gpu_dtypes=(),
        note="one window at a time: it has no batches",
    ),
    Entry(
        "whisper.cpp",
        "whisper_cpp",
        ("pywhispercpp", "safetensors"),
        "whisper-cpp",
        dtypes=("float16",),
        gpu_dtypes=(),
        note="one window at a time; the wheel's AVX2 build",
    ),
)
