"""Measure what word timestamps cost: python -m benchmark.engine_comparison.word_times.

The same windows are transcribed with and without them in turn. On a CPU only the process's own CPU
time counts, so that a busy machine does not favour either.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

if __name__ == "__main__":
    from benchmark import missing_packages

    missing_packages.explain()

import torch

from asr.config.config import Config
from asr.engines import load as engines
from asr.engines.engine import Engine, Window
from asr.options import Options, Timestamps
from models.demo import synthesise

SECONDS = 30  # A window lasts so many seconds.


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmark.engine_comparison.word_times", description=__doc__
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--engine", choices=["whisper", "pipeline"], default="whisper")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=None)
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    engine = engines.load(
        Config(
            model_id=chosen.model, engine=chosen.engine, device=chosen.device, dtype=chosen.dtype
        )
    )
    print(measure(engine, chosen.windows, chosen.rounds))


def measure(engine: Engine, count: int, rounds: int) -> str:
    """Return a line of figures."""
    plain = spoken(count, "segment")
    timed = [replace(window, options=Options("en", timestamps="word")) for window in plain]
    spent = [(seconds(engine, plain), seconds(engine, timed)) for _ in range(rounds + 1)][1:]
    without = median(one for one, _ in spent) / count
    added = median(two - one for one, two in spent) / count
    return (
        f"{engine.info.model_id}, {engine.info.engine}, {engine.info.hardware}: "
        f"{1000 * without:.1f} ms a window, {1000 * added:+.2f} ms for its words' times "
        f"({added / without:+.1%}); median of {rounds} rounds of {count} windows"
    )


def spoken(count: int, timestamps: Timestamps) -> list[Window]:
    """Return `count` different windows full of the demo model's own speech.

    It is about as dense as any speech.
    """
    options = Options("en", timestamps=timestamps)
    made = [synthesise.recording(SECONDS, "en", seed=number) for number in range(count)]
    return [Window(recording.samples, 0.0, options) for recording in made]


def seconds(engine: Engine, windows: Sequence[Window]) -> float:
    """Return the seconds from the first window's admission to the last one's words.

    Without a GPU they are seconds of CPU time.
    """
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    started = clock()
    waiting = list(windows)
    while waiting or engine.held():
        free = engine.free()
        results = engine.step(waiting[:free])
        waiting = waiting[free:]
        for result in results:
            if result.error is not None:
                raise result.error
    return clock() - started


if __name__ == "__main__":
    main()
