"""Run faster-whisper on CTranslate2: one window after the other, or in batches."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ctranslate2
import faster_whisper
from ctranslate2.converters import TransformersConverter
from faster_whisper import BatchedInferencePipeline, WhisperModel

from benchmark.engine_comparison.contender import (
    BATCH,
    LANGUAGE,
    SAMPLE_RATE,
    RoundOutput,
    Samples,
    Settings,
    Task,
)

# The converted checkpoint gets copies of these files.
COPIED = ("tokenizer.json", "preprocessor_config.json")
MOST_POSITIONS = 448  # The decoder has so many positions; hence a text has at most 223 tokens.
OPENING = 4  # So many tokens come before the text: start, language, task, no timestamps.

VERSIONS = {
    "faster-whisper": faster_whisper.__version__,
    "ctranslate2": ctranslate2.__version__,
}


class Faster:
    """Transcribes greedily, without timestamps, VAD or temperature fallback."""

    def __init__(self, settings: Settings, batched: bool) -> None:
        self.versions = VERSIONS
        self._model = WhisperModel(
            str(_converted(settings)),
            device=settings.device,
            compute_type=settings.dtype,
            cpu_threads=settings.threads,
            local_files_only=True,
        )
        self._batched = BatchedInferencePipeline(self._model) if batched else None

    def transcribe(self, task: Task, output: RoundOutput, started: float) -> None:
        if self._batched is not None:
            self._count(self._in_batches(task), output, started)
        elif task.load == "clips":
            self._transcribe_for_callers(task, output, started)
        elif len(set(task.limits or ())) > 1:
            for window, limit in task.each():
                segments, _ = self._model.transcribe(window, **_options(limit))
                self._count(segments, output, started)
        else:
            segments, _ = self._model.transcribe(task.windows.ravel(), **_options(task.limit))
            self._count(segments, output, started)

    def _in_batches(self, task: Task) -> Iterable[Any]:
        assert self._batched is not None
        seconds = task.windows.shape[1] / SAMPLE_RATE
        places = [
            {"start": number * seconds, "end": (number + 1) * seconds}
            for number in range(len(task.windows))
        ]
        segments, _ = self._batched.transcribe(
            task.windows.ravel(),
            batch_size=BATCH,
            vad_filter=False,
            clip_timestamps=places,
            **_options(task.limit),
        )
        transcribed: Iterable[Any] = segments
        return transcribed

    def _transcribe_for_callers(self, task: Task, output: RoundOutput, started: float) -> None:
        """Transcribe each caller's clip in a thread of its own, over one model.

        A server would do the same.
        """

        def transcribe(clip: tuple[Samples, int | None]) -> RoundOutput:
            samples, limit = clip
            segments, _ = self._model.transcribe(samples, **_options(limit))
            own = RoundOutput()
            self._count(segments, own, started)
            return own

        with ThreadPoolExecutor(len(task.windows)) as threads:
            for own in threads.map(transcribe, task.each()):
                output.tokens += own.tokens
                output.finished += own.finished

    def _count(self, segments: Iterable[Any], output: RoundOutput, started: float) -> None:
        for segment in segments:
            output.tokens.append(len(segment.tokens))
            output.finished.append(time.monotonic() - started)


def load(settings: Settings, batched: bool) -> Faster:
    return Faster(settings, batched)


def _options(limit: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "language": LANGUAGE,
        "task": "transcribe",
        "beam_size": 1,
        "best_of": 1,
        "temperature": 0.0,
        "condition_on_previous_text": False,
        "compression_ratio_threshold": None,
        "log_prob_threshold": None,
        "no_speech_threshold": None,
        "without_timestamps": True,
    }
    if limit is not None:  # CTranslate2 writes at most half of its max_length, less one
        options["max_new_tokens"] = min(2 * (limit + 1), MOST_POSITIONS) - OPENING
    return options


def _converted(settings: Settings) -> Any:
    folder = settings.converted / f"ctranslate2-{settings.dtype}"
    if not (folder / "model.bin").exists():
        shutil.rmtree(folder, ignore_errors=True)
        converter = TransformersConverter(str(settings.checkpoint), copy_files=list(COPIED))
        converter.convert(str(folder), quantization=settings.dtype)
    return folder
