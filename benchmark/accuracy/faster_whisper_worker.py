"""Load faster-whisper in this process, then transcribe one file for each line of JSON.

It runs in an environment that has faster-whisper and perhaps nothing of ours. Whatever the
libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ctranslate2
import faster_whisper
from faster_whisper import BatchedInferencePipeline, WhisperModel
from faster_whisper.audio import decode_audio

BATCH = 8  # The batched mode decodes so many windows at once, its default.
COPIED = ["tokenizer.json", "preprocessor_config.json"]  # A converted model gets these files.


def main() -> None:
    order = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed from here on goes to standard error
    model = load(order)
    modules = {"faster-whisper": faster_whisper, "ctranslate2": ctranslate2}
    say(answers, {"versions": {name: module.__version__ for name, module in modules.items()}})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = transcribe(model, order, request)
        except Exception as error:  # the boundary: a file that fails is a line of the table
            answer = {"text": "", "failure": f"{type(error).__name__}: {error}"}
        say(answers, answer)


def load(order: dict[str, Any]) -> Any:
    """Return the model, in float32 on a CPU as our server is."""
    device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    dtype = "float16" if device == "cuda" else "float32"
    # Its default of four threads slows it down several times where there are fewer free cores.
    threads = int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))
    model = ct2_model(order)
    return WhisperModel(model, device=device, compute_type=dtype, cpu_threads=threads)


def ct2_model(order: dict[str, Any]) -> str:
    """Return the model in CTranslate2's layout; Transformers' directories are converted."""
    folder = Path(order["model"])
    if not (folder / "config.json").exists() or (folder / "model.bin").exists():
        return str(order["model"])  # it is in that layout, or the id of one that is
    converted = Path(order["converted"]) / folder.resolve().relative_to("/")
    if not (converted / "model.bin").exists():
        from ctranslate2.converters import TransformersConverter  # needs torch and Transformers

        shutil.rmtree(converted, ignore_errors=True)
        present = [name for name in COPIED if (folder / name).exists()]
        TransformersConverter(str(folder), copy_files=present).convert(str(converted))
    return str(converted)


def transcribe(model: Any, order: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Return the text, the language detected, and when the first segment and all came."""
    samples = decode_audio(request["audio"])
    started = time.monotonic()
    segments, info = segments_of(model, order, samples, request["language"])
    texts: list[str] = []
    first = None
    for segment in segments:
        first = first if first is not None else time.monotonic() - started
        texts.append(segment.text)
    whole = time.monotonic() - started
    detected = info.language
    if request["language"]:
        detected = model.detect_language(audio=samples)[0]
    return {"text": "".join(texts), "detected": detected, "first_s": first, "whole_s": whole}


def segments_of(
    model: Any, order: dict[str, Any], samples: Any, language: str | None
) -> tuple[Iterable[Any], Any]:
    """Begin a transcription; other options are the defaults of faster-whisper."""
    options = {"language": language, "beam_size": order["beams"]}
    if order["batched"]:
        model = BatchedInferencePipeline(model)
        options["batch_size"] = BATCH
    else:
        options["vad_filter"] = order["vad"]
    begun: tuple[Iterable[Any], Any] = model.transcribe(samples, **options)
    return begun


def say(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
