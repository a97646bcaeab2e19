"""Load one contender in this process, then run one round at a time.

Two OpenMP pools in one process slow each other down; two processes that take turns do not. A line
of JSON comes in for each round and one goes out; whatever the libraries print goes to standard
error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any, TextIO

import numpy as np

from benchmark.engine_comparison.contender import CannotRun, Contender, RoundOutput, Settings, Task
from benchmark.process_usage import MIB, cpu_seconds, gpu_mib, peak_bytes, reset_peak


def main() -> None:
    order = json.loads(sys.argv[1])
    answers = _aside()
    try:
        contender = load(order)
    except Exception as error:  # the boundary: the other side reads the reason and goes on
        traceback.print_exc()
        _say(answers, {"failed": _described(error)})
        raise SystemExit(1) from error
    _say(answers, {"versions": contender.versions})
    for line in sys.stdin:
        _say(answers, _answer(contender, json.loads(line)))


def load(order: dict[str, Any]) -> Contender:
    module = importlib.import_module(f"benchmark.engine_comparison.contenders.{order['module']}")
    contender: Contender = module.load(Settings.of(order["settings"]), **order["options"])
    return contender


def _answer(contender: Contender, request: dict[str, Any]) -> dict[str, Any]:
    task = Task(request["load"], np.load(request["windows"]), request["limits"])
    output = RoundOutput()
    reset_peak()
    before = cpu_seconds()
    started = time.monotonic()
    try:
        contender.transcribe(task, output, started)
    except CannotRun as error:
        return {"skipped": str(error)}
    except Exception as error:  # the boundary: one contender's failure is a line of the table
        traceback.print_exc()
        return {"failed": _described(error)}
    return {
        "seconds": time.monotonic() - started,
        "cpu_seconds": cpu_seconds() - before,
        "tokens": output.tokens,
        "finished": output.finished,
        "peak_mib": peak_bytes() / MIB,
        "gpu_mib": gpu_mib(),
    }


def _aside() -> TextIO:
    """Return standard output, and send all later prints to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _described(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


if __name__ == "__main__":
    main()
