"""Run whisper.cpp through pywhispercpp, on the checkpoint as a ggml file."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path

import _pywhispercpp as library
from pywhispercpp.model import Model

from benchmark.engine_comparison.contender import LANGUAGE, CannotRun, RoundOutput, Settings, Task
from benchmark.engine_comparison.contenders.ggml import write_ggml

MOST_TOKENS = 220  # It writes at most so many tokens in a window, 448 / 2 - 4, whatever the limit.

VERSIONS = {"pywhispercpp": version("pywhispercpp")}


class Cpp:
    """Transcribes one window after the other, greedily."""

    def __init__(self, settings: Settings) -> None:
        self.versions = VERSIONS
        self._model = Model(
            str(_converted(settings)),
            redirect_whispercpp_logs_to=None,
            n_threads=settings.threads,
            language=LANGUAGE,
            no_timestamps=True,
            single_segment=True,
            no_context=True,
            temperature_inc=0.0,
            print_progress=False,
        )

    def transcribe(self, task: Task, output: RoundOutput, started: float) -> None:
        if task.limits is not None and max(task.limits) > MOST_TOKENS:
            raise CannotRun(f"it writes at most {MOST_TOKENS} tokens in a window")
        for window, limit in task.each():
            self._model.transcribe(window, max_tokens=0 if limit is None else limit - 1)
            context = self._model._ctx
            segments = range(library.whisper_full_n_segments(context))
            output.tokens.append(sum(library.whisper_full_n_tokens(context, n) for n in segments))
            output.finished.append(time.monotonic() - started)


def load(settings: Settings) -> Cpp:
    return Cpp(settings)


def _converted(settings: Settings) -> Path:
    file = settings.converted / f"ggml-{settings.dtype}.bin"
    if not file.exists():
        unfinished = file.with_suffix(".unfinished")
        with unfinished.open("wb") as target:
            write_ggml(settings.checkpoint, target)
        unfinished.rename(file)
    return file
