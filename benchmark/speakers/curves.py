"""Show what the built-in diarizer's constants cost and save: python -m benchmark.speakers.curves.

The recordings of the tuning half of the voices are worked on once for each step and length of
clean speech; where merging ends is varied afterwards.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

if __name__ == "__main__":
    from benchmark import missing_packages

    missing_packages.explain()

import soundfile
import torch

from asr.config.config import Config
from asr.diarization import session as sessions
from asr.diarization import stretches, voiceprints
from asr.diarization.builtin import BuiltinDiarizer
from asr.diarization.diarizer import Diarization, DiarizationSession
from asr.diarization.load import load
from asr.options import SpeakerOptions
from asr.pcm import SAMPLE_RATE
from benchmark.engine_comparison import environments
from benchmark.engine_comparison.contender import CannotRun
from benchmark.speakers import evaluation, figures
from benchmark.speakers.evaluation import Recording
from benchmark.speakers.figures import COLLAR, STRICT, Measured
from benchmark.tables import aligned

FRAMES_PER_SECOND = 100  # of the filter bank, of which voices are taken


@dataclass(frozen=True)
class Constants:
    """Names one value for each constant."""

    step: float  # seconds from one window to the next
    cap: float  # seconds of clean speech that a voice is taken from, at most
    distance: float  # up to which voices are merged
    least: float  # seconds of speech that a speaker must have

    def set_networks(self) -> None:
        sessions.STEP_SAMPLES = round(self.step * SAMPLE_RATE)
        stretches.MOST_FEATURES = round(self.cap * FRAMES_PER_SECOND)

    def set_clustering(self) -> None:
        voiceprints.DISTANCE = self.distance
        voiceprints.LEAST_SECONDS = self.least


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    try:
        scorer = environments.program(evaluation.ENVIRONMENT, {})
        recordings = evaluation.recordings(
            options.folder, options.only, tuning=not options.figures, hours=()
        )
        curve = list(_curve(options, list(recordings), scorer))
    except (CannotRun, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(table(curve))
    return 0


def _curve(
    options: argparse.Namespace, recordings: Sequence[Recording], scorer: str
) -> Iterator[tuple[Constants, list[Measured]]]:
    diarizer = cast(BuiltinDiarizer, load(Config.from_environment({"DEVICE": "cpu"})))
    ends = list(itertools.product(options.distances, options.least))
    for step, cap in itertools.product(options.steps, options.caps):
        Constants(step, cap, 0.0, 0.0).set_networks()
        worked = [_worked(diarizer, one) for one in recordings]
        print(f"step {step:g} s, {cap:g} s of clean speech", file=sys.stderr, flush=True)
        costs = [cost for _, cost in worked]
        chosen = [Constants(step, cap, *one) for one in ends]
        found = [_decided(one, [session for session, _ in worked]) for one in chosen]
        yield from zip(chosen, _scored(recordings, found, costs, scorer), strict=True)


def _decided(chosen: Constants, worked: Sequence[DiarizationSession]) -> list[Diarization]:
    chosen.set_clustering()
    return [session.finish() for session in worked]


def _worked(diarizer: BuiltinDiarizer, recording: Recording) -> tuple[DiarizationSession, float]:
    """Return a session that has only to decide, and the CPU seconds it took."""
    samples, _ = soundfile.read(recording.audio, dtype="float32")
    started = time.process_time()
    session = diarizer.begin(SpeakerOptions())
    session.push(samples)
    session.complete()
    while session.advance():
        pass
    return session, time.process_time() - started


def _scored(
    recordings: Sequence[Recording],
    found: Sequence[Sequence[Diarization]],
    costs: Sequence[float],
    scorer: str,
) -> list[list[Measured]]:
    """Return the figures of each recording, for each of the lists of what was found."""
    seconds = [float(soundfile.info(one.audio).duration) for one in recordings]
    pairs = [
        {
            "reference": one.reference,
            "turns": [(turn.start, turn.end, turn.voice) for turn in made.turns],
            "seconds": length,
        }
        for files in found
        for one, made, length in zip(recordings, files, seconds, strict=True)
    ]
    scores = iter(evaluation.scored(pairs, scorer))
    return [
        [
            Measured(
                one.name,
                one.kind,
                one.speakers,
                len(made.voices),
                length,
                cost,
                finish_s=0.0,
                load_s=0.0,
                grown_mib=0.0,
                scores=next(scores),
            )
            for one, made, length, cost in zip(recordings, files, seconds, costs, strict=True)
        ]
        for files in found
    ]


def table(curve: Sequence[tuple[Constants, Sequence[Measured]]]) -> str:
    head = (
        "step s", "clean s", "distance", "least s", "DER ±0.25 %", "DER 0 %", "confusion %",
        "counts right", "off by", "x real time",
    )  # fmt: skip
    return "\n".join(aligned([head, *(_row(*one) for one in curve)]))


def _row(chosen: Constants, files: Sequence[Measured]) -> tuple[str, ...]:
    return (
        f"{chosen.step:g}",
        f"{chosen.cap:g}",
        f"{chosen.distance:g}",
        f"{chosen.least:g}",
        f"{figures.der(files, COLLAR):.1f}",
        f"{figures.der(files, STRICT):.1f}",
        f"{figures.share(files, COLLAR, 'confusion'):.1f}",
        f"{sum(one.has_right_count for one in files)}/{len(files)}",
        str(sum(abs(one.speakers - one.voices) for one in files)),
        f"{figures.speed(files):.1f}",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmark.speakers.curves", description=__doc__)
    add = parser.add_argument
    add("--folder", type=Path, required=True, help="speech by voices")
    add("--only", nargs="+", choices=evaluation.KINDS, default=evaluation.KINDS[:-1])
    add("--figures", action="store_true", help="the half of the voices for figures")
    add("--steps", nargs="+", type=float, default=[2.5])
    add("--caps", nargs="+", type=float, default=[3.0])
    add("--distances", nargs="+", type=float, default=[0.48, 0.52, 0.56, 0.6, 0.64])
    add("--least", nargs="+", type=float, default=[3.0])
    return parser


if __name__ == "__main__":
    sys.exit(main())
