"""Run OpenVINO GenAI on the model that optimum-intel makes of the checkpoint."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import openvino
import openvino_genai

from benchmark.engine_comparison.contender import LANGUAGE, RoundOutput, Settings, Task

VERSIONS = {"openvino": openvino.__version__, "openvino-genai": openvino_genai.__version__}


class Vino:
    """Transcribes one window after the other."""

    def __init__(self, settings: Settings) -> None:
        self.versions = VERSIONS
        folder = _converted(settings)
        device = settings.device.upper()
        threads = {"INFERENCE_NUM_THREADS": settings.threads}
        self._pipeline = openvino_genai.WhisperPipeline(folder, device, **threads)
        self._config = self._pipeline.get_generation_config()
        self._config.language = f"<|{LANGUAGE}|>"
        self._config.task = "transcribe"
        self._config.return_timestamps = False
        self._longest = self._config.max_new_tokens

    def transcribe(self, task: Task, output: RoundOutput, started: float) -> None:
        for window, limit in task.each():
            self._config.max_new_tokens = self._longest if limit is None else limit
            answer = self._pipeline.generate(window.tolist(), self._config)
            output.tokens.append(answer.perf_metrics.get_num_generated_tokens())
            output.finished.append(time.monotonic() - started)


def load(settings: Settings) -> Vino:
    return Vino(settings)


def _converted(settings: Settings) -> Path:
    folder = settings.converted / f"openvino-{settings.dtype}"
    if not (folder / "openvino_decoder_model.xml").exists():
        shutil.rmtree(folder, ignore_errors=True)
        program = Path(sys.executable).with_name("optimum-cli")
        task = ["--task", "automatic-speech-recognition-with-past"]
        command = [str(program), "export", "openvino", "--model", str(settings.checkpoint), *task]
        command += ["--weight-format", settings.dtype, str(folder)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return folder
