"""Run the pipeline of Transformers, greedy or with its defaults."""

from __future__ import annotations

import time
from typing import Any

import torch
import transformers
from transformers import pipeline

from benchmark.engine_comparison.contender import (
    BATCH,
    LANGUAGE,
    SAMPLE_RATE,
    RoundOutput,
    Settings,
    Task,
)
from benchmark.engine_comparison.contenders.generation import Generation

CHUNK_SECONDS = 30  # The pipeline cuts chunks of so many seconds.

VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__}


class Plain:
    """Runs `pipeline("automatic-speech-recognition")` with chunks of 30 s.

    Greedy, it has one beam, no stride and batches. Its defaults are 5 beams, strides of 5 s on both
    sides, and a batch of one chunk.
    """

    def __init__(self, settings: Settings, beams: int | None) -> None:
        self.versions = VERSIONS
        self._generation = Generation()
        self._pipeline = pipeline(
            "automatic-speech-recognition",
            model=str(settings.checkpoint),
            dtype=getattr(torch, settings.dtype),
            device=settings.device,
        )
        self._generate: dict[str, Any] = {"language": LANGUAGE, "task": "transcribe"}
        self._options: dict[str, Any] = {"chunk_length_s": CHUNK_SECONDS}
        if beams is not None:
            self._generate["num_beams"] = beams
            self._options |= {"stride_length_s": 0, "batch_size": BATCH}

    def transcribe(self, task: Task, output: RoundOutput, started: float) -> None:
        if self._has_strides:
            _ = task.limit  # rows are more than windows: their lengths cannot differ
        tokens = self._generation.begin(task)
        rows = [task.windows.ravel()] if task.load == "file" else list(task.windows)
        inputs = ({"raw": row, "sampling_rate": SAMPLE_RATE} for row in rows)
        for _ in self._pipeline(inputs, generate_kwargs=dict(self._generate), **self._options):
            done = time.monotonic() - started
            output.finished += [done] * (len(task.windows) // len(rows))
        output.tokens += tokens()

    @property
    def _has_strides(self) -> bool:
        return "stride_length_s" not in self._options


def load(settings: Settings, beams: int | None) -> Plain:
    return Plain(settings, beams)
