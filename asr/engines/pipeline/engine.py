"""The engine of every model that Transformers runs, with static batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from asr.capabilities import EngineInfo
from asr.config.config import Config
from asr.config.setting import MODEL_FILE
from asr.engines.engine import Window, WindowResult
from asr.engines.hardware import Hardware
from asr.engines.memory import is_fatal, lacks_memory
from asr.engines.model_files import reading
from asr.engines.model_layout import TRANSFORMERS, CheckpointLayout, ModelSource
from asr.engines.pipeline.generic import OtherModel
from asr.engines.pipeline.whisper import WhisperModel
from asr.options import Options
from asr.pcm import SAMPLE_RATE
from asr.transcript import LanguageDetection

log = logging.getLogger(__name__)

Result = TypeVar("Result")

WARM_UP_SECONDS = 2  # So much noise is transcribed before the first request, in seconds.


class PipelineModel(Protocol):
    """Transcribes a batch of windows that share their options, in one pass."""

    @property
    def info(self) -> EngineInfo: ...

    def detect(self, windows: Sequence[Window]) -> list[LanguageDetection]:
        """Return the language of each window, among those that are allowed."""
        ...

    def transcribe(self, windows: Sequence[Window], options: Options) -> list[WindowResult]:
        """Return the text of each window; its language may be left out."""
        ...


def load(config: Config, hardware: Hardware, source: ModelSource = TRANSFORMERS) -> PipelineEngine:
    """Load any model of the task `automatic-speech-recognition`."""
    transformers_logging.set_verbosity_error()
    if source.layout is not CheckpointLayout.TRANSFORMERS:
        return PipelineEngine(WhisperModel(config, hardware, source), config.batch_size)
    with reading(config, MODEL_FILE):
        description = AutoConfig.from_pretrained(config.model_path, cache_dir=config.cache_dir)
    make = WhisperModel if description.model_type == "whisper" else OtherModel
    return PipelineEngine(make(config, hardware), config.batch_size)


class PipelineEngine:
    """Transcribes all windows of a step in that step, in batches of equal options."""

    def __init__(self, model: PipelineModel, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size

    @property
    def info(self) -> EngineInfo:
        return self._model.info

    @property
    def capacity(self) -> int:
        return self._batch_size

    def free(self, _is_live: bool = False) -> int:
        return self._batch_size

    def held(self) -> int:
        return 0

    def drop(self, window: Window) -> None:
        """Nothing is ever held between steps."""

    def prepare(self) -> bool:
        """There is nothing to prepare."""
        return False

    def warm_up(self) -> None:
        """Transcribe noise once, because the first run is slow."""
        noise = np.random.default_rng(0).normal(0, 1e-3, WARM_UP_SECONDS * SAMPLE_RATE)
        [result] = self.step([Window(noise.astype(np.float32), start=0.0)])
        if result.error is not None:
            raise result.error

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        detections, results = self._detect(admitted)
        batches: dict[Options, list[Window]] = {}
        for window, detection in detections.items():
            asked = replace(window.options, language=detection.language)
            batches.setdefault(asked, []).append(window)
        for asked, windows in batches.items():
            for result in self._transcribe(windows, asked):
                detection = detections[result.window]
                probabilities = detection.probabilities
                results.append(
                    replace(result, language=detection.language, probabilities=probabilities)
                )
        return results

    def _detect(
        self, windows: Sequence[Window]
    ) -> tuple[dict[Window, LanguageDetection], list[WindowResult]]:
        """Return the language of each window, and failures where the detection fails."""
        unknown = [window for window in windows if window.options.language is None]
        named = [window for window in windows if window.options.language is not None]
        known = {window: LanguageDetection(window.options.language) for window in named}
        try:
            detected = self._in_parts(unknown, self._model.detect)
        except Exception as error:
            return known, _failures(unknown, error)
        return known | dict(zip(unknown, detected, strict=True)), []

    def _transcribe(self, windows: list[Window], asked: Options) -> list[WindowResult]:
        try:
            return self._in_parts(windows, lambda part: self._model.transcribe(part, asked))
        except Exception as error:
            return _failures(windows, error)

    def _in_parts(
        self, windows: Sequence[Window], run: Callable[[Sequence[Window]], list[Result]]
    ) -> list[Result]:
        """Call `run` with a batch at a time; out of memory halves the batch for good."""
        results: list[Result] = []
        while len(results) < len(windows):
            part = windows[len(results) : len(results) + self._batch_size]
            try:
                results += run(part)
            except RuntimeError as error:
                if len(part) == 1 or not lacks_memory(error):
                    raise
                torch.cuda.empty_cache()
                self._batch_size = max(1, len(part) // 2)
                log.warning("out of memory: batches are of %d windows now", self._batch_size)
        return results


def _failures(windows: Sequence[Window], error: Exception) -> list[WindowResult]:
    """Return a failure for each window of a batch; raise a failure of the GPU."""
    if is_fatal(error):
        raise error
    log.error("a batch of %d windows failed", len(windows), exc_info=error)
    return [WindowResult(window, error=error) for window in windows]
