"""Every speech recognition model, through Transformers' own generation and pipeline."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from transformers import AutoConfig
from transformers import pipeline as transformers_pipeline
from transformers.utils import logging as transformers_logging

from asr.capabilities import EngineInfo
from asr.config import Config
from asr.engines.engine import Window, WindowResult
from asr.engines.hardware import Hardware
from asr.engines.pipeline.whisper import WhisperModel
from asr.engines.whisper.capacity import lacks_memory
from asr.options import Options
from asr.pcm import SAMPLE_RATE
from asr.transcript import LanguageDetection, Segment, Word

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

SHORTEST_SECONDS = 0.5  # models with strided convolutions refuse less
WARM_UP_SECONDS = 2


class PipelineModel(Protocol):
    """Hears a batch of windows that share their options, all in one pass."""

    @property
    def info(self) -> EngineInfo: ...

    def detect(self, windows: Sequence[Window]) -> list[LanguageDetection]:
        """The language of each window, among those that it may be."""
        ...

    def hear(self, windows: Sequence[Window], options: Options) -> list[WindowResult]:
        """The text of each window; its language need not be told again."""
        ...


def load(config: Config, hardware: Hardware) -> PipelineEngine:
    """Load any model of the task `automatic-speech-recognition`."""
    description = AutoConfig.from_pretrained(config.model_path, cache_dir=config.cache_dir)
    transformers_logging.set_verbosity_error()
    make = WhisperModel if description.model_type == "whisper" else OtherModel
    return PipelineEngine(make(config, hardware), config.batch_size)


class PipelineEngine:
    """A static engine: a step finishes whatever it was given."""

    def __init__(self, model: PipelineModel, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size

    @property
    def info(self) -> EngineInfo:
        return self._model.info

    @property
    def capacity(self) -> int:
        return self._batch_size

    def free(self) -> int:
        return self._batch_size

    def held(self) -> int:
        return 0

    def drop(self, window: Window) -> None:
        """Nothing is ever held between steps."""

    def prepare(self) -> bool:
        """There is nothing to prepare."""
        return False

    def warm_up(self) -> None:
        """Hear noise once, so that no request is the first."""
        noise = np.random.default_rng(0).normal(0, 1e-3, WARM_UP_SECONDS * SAMPLE_RATE)
        [result] = self.step([Window(noise.astype(np.float32), start=0.0)])
        if result.error is not None:
            raise result.error

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        detected, results = self._detected(admitted)
        batches: dict[Options, list[Window]] = {}
        for window, found in detected.items():
            asked = replace(window.options, language=found.language)
            batches.setdefault(asked, []).append(window)
        for asked, windows in batches.items():
            for result in self._hear(windows, asked):
                heard = detected[result.window]
                odds = heard.probabilities
                results.append(replace(result, language=heard.language, probabilities=odds))
        return results

    def _detected(
        self, windows: Sequence[Window]
    ) -> tuple[dict[Window, LanguageDetection], list[WindowResult]]:
        """The language of each window, asked or heard, and answers where it cannot be heard."""
        unknown = [window for window in windows if window.options.language is None]
        named = [window for window in windows if window.options.language is not None]
        known = {window: LanguageDetection(window.options.language) for window in named}
        try:
            found = self._in_parts(unknown, self._model.detect)
        except Exception as error:
            return known, _failures(unknown, error)
        return known | dict(zip(unknown, found, strict=True)), []

    def _hear(self, windows: list[Window], asked: Options) -> list[WindowResult]:
        try:
            return self._in_parts(windows, lambda part: self._model.hear(part, asked))
        except Exception as error:
            return _failures(windows, error)

    def _in_parts(
        self, windows: Sequence[Window], hear: Callable[[Sequence[Window]], list[Answer]]
    ) -> list[Answer]:
        """Call `hear` with at most a batch at a time; out of memory halves the batch for good."""
        answers: list[Answer] = []
        while len(answers) < len(windows):
            part = windows[len(answers) : len(answers) + self._batch_size]
            try:
                answers += hear(part)
            except RuntimeError as error:
                if len(part) == 1 or not lacks_memory(error):
                    raise
                torch.cuda.empty_cache()
                self._batch_size = max(1, len(part) // 2)
                log.warning("out of memory: batches are of %d windows now", self._batch_size)
        return answers


def _failures(windows: Sequence[Window], error: Exception) -> list[WindowResult]:
    """One batch's failure is not the engine's, unless it is the GPU's."""
    if is_fatal(error):
        raise error
    log.error("a batch of %d windows failed", len(windows), exc_info=error)
    return [WindowResult(window, error=error) for window in windows]


def is_fatal(error: BaseException) -> bool:
    """Whether the GPU cannot be used any more after `error`."""
    if isinstance(error, RuntimeError) and lacks_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)


class OtherModel:
    """CTC and other models through the Transformers pipeline."""

    def __init__(self, config: Config, hardware: Hardware) -> None:
        self._pipeline = transformers_pipeline(
            "automatic-speech-recognition",
            model=config.model_path,
            device=hardware.device,
            dtype=hardware.dtype,
            model_kwargs={"cache_dir": config.cache_dir},
        )
        self._is_ctc = self._pipeline.type in {"ctc", "ctc_with_lm"}
        self._max_new_tokens = config.max_new_tokens
        self.info = EngineInfo(
            model_id=config.model_id,
            engine="pipeline",
            device_name=hardware.device_name,
            hardware=hardware.reason,
            has_segments=False,
            has_words=self._is_ctc,
            longest_window=math.inf,
        )

    def detect(self, windows: Sequence[Window]) -> list[LanguageDetection]:
        return [LanguageDetection()] * len(windows)

    def hear(self, windows: Sequence[Window], options: Options) -> list[WindowResult]:
        inputs = [{"raw": _padded(window), "sampling_rate": SAMPLE_RATE} for window in windows]
        with torch.inference_mode():
            answers = self._pipeline(inputs, batch_size=len(inputs), **self._arguments(options))
        return [
            WindowResult(window, _segments(answer, window))
            for answer, window in zip(answers, windows, strict=True)
        ]

    def _arguments(self, options: Options) -> dict[str, Any]:
        if self._is_ctc:
            return {"return_timestamps": "word"}
        generation: dict[str, Any] = {"num_beams": 1, "do_sample": options.temperature > 0}
        if options.temperature > 0:
            generation["temperature"] = options.temperature
        limits = [limit for limit in (self._max_new_tokens, options.max_new_tokens) if limit]
        if limits:
            generation["max_new_tokens"] = min(limits)
        return {"generate_kwargs": generation}


def _padded(window: Window) -> np.ndarray[Any, np.dtype[np.float32]]:
    missing = round(SHORTEST_SECONDS * SAMPLE_RATE) - len(window.samples)
    return np.pad(window.samples, (0, max(0, missing)))


def _segments(answer: dict[str, Any], window: Window) -> tuple[Segment, ...]:
    """One segment for the window, from its first word to its last where they are timed."""
    text = answer["text"].strip()
    if not text:
        return ()
    words = tuple(
        Word(
            " " + chunk["text"].strip(),
            min(chunk["timestamp"][0], window.seconds),
            min(chunk["timestamp"][1], window.seconds),
        )
        for chunk in answer.get("chunks", ())
    )
    start = words[0].start if words else 0.0
    end = words[-1].end if words else window.seconds
    return (Segment(start, end, " " + text, words),)
