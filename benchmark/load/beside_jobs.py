"""Measure interactive latency alone and while jobs run: python -m benchmark.load.beside_jobs."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmark.demo import SERVER, DemoFailed, running_server
from benchmark.demo_jobs import MINUTES, RATE, ask, recording
from benchmark.paths import SAMPLES

CLIP_SECONDS = 3.0  # A caller sends clips of so many seconds, one after the other.
PAUSE_SECONDS = 0.5  # It waits so long between two.
SETTLE_SECONDS = 5.0  # Jobs have run for so long when the clips begin.


def main() -> int:
    """Print p50 and p95 of both, and how many times as long clips take beside jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50, help="jobs of 20 minutes (50)")
    parser.add_argument("--clips", type=int, default=40, help="clips in each round (40)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "long.wav").write_bytes(recording(MINUTES))
        settings = {"JOBS_DIR": f"{directory}/jobs", "AUDIO_ROOT": directory}
        try:
            with running_server(SERVER, settings) as port:
                _measure(port, asked.jobs, asked.clips)
        except DemoFailed as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _measure(port: int, jobs: int, clips: int) -> None:
    clip = recording(CLIP_SECONDS / 60)
    _latencies(port, clip, 3)  # to warm up
    alone = _latencies(port, clip, clips)
    for _ in range(jobs):
        ask(port, "POST", "/jobs?url=long.wav", None, 202)
    time.sleep(SETTLE_SECONDS)
    before = _done(port)
    started = time.monotonic()
    beside = _latencies(port, clip, clips)
    pace = (_done(port) - before) / (time.monotonic() - started)
    print(f"{clips} clips of {CLIP_SECONDS:g} s, one caller, of {SAMPLES.name} at {RATE} Hz")
    print("|                        | p50 s | p95 s |")
    print("|------------------------|------:|------:|")
    _row("alone", alone)
    _row(f"beside {jobs} jobs", beside)
    ratios = [one / other for one, other in zip(_points(beside), _points(alone), strict=True)]
    print(f"times as long: p50 {ratios[0]:.2f}, p95 {ratios[1]:.2f}; jobs meanwhile {pace:.1f} x")


def _latencies(port: int, clip: bytes, count: int) -> list[float]:
    found = []
    for _ in range(count):
        started = time.monotonic()
        ask(port, "POST", "/asr", clip)
        found.append(time.monotonic() - started)
        time.sleep(PAUSE_SECONDS)
    return found


def _done(port: int) -> float:
    """Seconds of audio that running and completed jobs have done."""
    found = ask(port, "GET", "/jobs?state=running,completed&limit=100")["jobs"]
    return sum(float(job["progress"]["done"]) for job in found)


def _points(latencies: list[float]) -> tuple[float, float]:
    return statistics.median(latencies), statistics.quantiles(latencies, n=20)[-1]


def _row(name: str, latencies: list[float]) -> None:
    p50, p95 = _points(latencies)
    print(f"| {name:22} | {p50:5.2f} | {p95:5.2f} |")


if __name__ == "__main__":
    sys.exit(main())
