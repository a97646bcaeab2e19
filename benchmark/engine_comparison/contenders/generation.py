"""Limit and count the tokens that Transformers' `generate` writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration

from benchmark.engine_comparison.contender import Task


class Generation:
    """Wraps `generate` of every Whisper model of the process.

    A batch runs until its longest row is done, whatever ends the others: windows of different
    lengths all get the longest limit, and each is counted with its own.
    """

    def __init__(self) -> None:
        self._generate: Callable[..., Any] = WhisperForConditionalGeneration.generate
        self._limits: Sequence[int] | None = None
        self._written: list[int] = []
        counted = self._counted

        def generate(model: Any, *inputs: Any, **options: Any) -> Any:
            return counted(model, *inputs, **options)

        WhisperForConditionalGeneration.generate = generate

    def begin(self, task: Task) -> Callable[[], list[int]]:
        self._limits = task.limits
        self._written = []
        return lambda: self._written

    def _counted(self, model: Any, *inputs: Any, **options: Any) -> Any:
        named = options.get("input_features", options.get("inputs"))
        features: Any = inputs[0] if inputs else named
        count = len(features)
        if self._limits is None:
            generated = self._generate(model, *inputs, **options)
            self._written += _lengths(generated, model.generation_config)
            return generated
        done = len(self._written)
        limits = list(islice(cycle(self._limits), done, done + count))
        longest = max(limits)
        options["max_new_tokens"] = longest
        generated = self._generate(model, *inputs, **options)
        self._written += [
            min(length, limit)
            for length, limit in zip(
                _lengths(generated, model.generation_config), limits, strict=True
            )
        ]
        return generated


def _lengths(generated: Any, config: Any) -> list[int]:
    """Count the tokens of each row after the opening and before the end of text."""
    tokens: torch.Tensor = generated["sequences"] if isinstance(generated, dict) else generated
    opening = {config.decoder_start_token_id, config.no_timestamps_token_id, config.eos_token_id}
    opening |= set(config.lang_to_id.values()) | set(config.task_to_id.values())
    return [sum(token not in opening for token in row) for row in tokens.tolist()]
