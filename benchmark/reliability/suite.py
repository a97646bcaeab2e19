"""Run the fifteen reliability tests at full size, each on servers of its own; print a table.

A test that cannot run here is listed as not measured, with the reason. The exit code is 0 when no
mark is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.paths import ROOT
from benchmark.reliability import machine
from benchmark.reliability.document import insert
from benchmark.reliability.trials import inputs, lifecycle, speech, under_load
from benchmark.reliability.trials.trial import Trial
from benchmark.reliability.verdict import Verdict, table

TRIALS = (
    Trial(1, "liveness", "health check under load", 4, under_load.liveness),
    Trial(2, "truth", "same texts, alone and together", 10, under_load.truth),
    Trial(3, "batching", "gain by batching", 2, under_load.batching),
    Trial(4, "burst", "burst of 10,000 requests", 3, under_load.burst),
    Trial(5, "leaving", "100 callers leave", 5, under_load.leaving),
    Trial(6, "ending", "SIGTERM with 6 in flight", 1, lifecycle.ending),
    Trial(7, "growth", "growth, and a planted leak", 16, lifecycle.growth),
    Trial(8, "contract", "published clients", 4, inputs.contract),
    Trial(9, "bombs", "small files that unpack to a lot", 3, inputs.unpacking),
    Trial(10, "corpus", "broken files", 1, inputs.corpus),
    Trial(11, "fuzz", "broken and slow HTTP", 5, inputs.fuzz),
    Trial(12, "addresses", "addresses and paths", 1, inputs.addresses),
    Trial(13, "silence", "no invented words", 4, speech.silence),
    Trial(14, "losslessness", "no lost words", 4, speech.losslessness),
    Trial(15, "start", "start, and out of memory", 1, lifecycle.start),
    Trial(16, "idle", "10,000 idle connections", 2, lifecycle.idle),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 when no mark is missed."""
    options = _parser().parse_args(arguments)
    given = sys.argv[1:] if arguments is None else arguments
    about = machine.described(["python -m benchmark.reliability", *given])
    chosen = [trial for trial in TRIALS if trial.name in options.only]
    minutes = sum(trial.minutes for trial in chosen)
    print(f"{len(chosen)} tests, about {minutes:g} minutes", file=sys.stderr, flush=True)
    rows = [row for trial in chosen for row in measured(trial)]
    skipped = ", ".join(trial.name for trial in TRIALS if trial not in chosen)
    text = f"{about}\n\n{table(rows, 'test')}"
    if skipped:
        text += f"\n\nNot run: {skipped}."
    print(text)
    if options.write is not None:
        insert(options.write, "fifteen", text)
    return int(any(row.passes is False for row in rows))


def measured(trial: Trial) -> list[Verdict]:
    """Run a trial; one that breaks is a missed mark."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = list(trial.run(Path(folder)))
        except Exception as error:  # the other trials go on, whatever happened in this one
            traceback.print_exc()
            rows = [Verdict("ran to its end", repr(error)[:200], "yes", False)]
    named = [replace(row, name=f"{trial.number} {trial.title}: {row.name}") for row in rows]
    minutes = (time.monotonic() - began) / 60
    print(f"\n{trial.name}, {minutes:.1f} minutes", file=sys.stderr)
    for row in named:
        print(f"  {row.word}: {row.name}: {row.figure} ({row.mark})", file=sys.stderr, flush=True)
    return named


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmark.reliability", description=__doc__)
    names = [trial.name for trial in TRIALS]
    listed = ", ".join(f"{trial.name} {trial.minutes:g}" for trial in TRIALS)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=names,
        default=names,
        metavar="TEST",
        help=f"run these alone; each with its minutes: {listed}",
    )
    parser.add_argument(
        "--write",
        type=Path,
        nargs="?",
        const=ROOT / "RELIABILITY.md",
        metavar="FILE",
        help="put the table into this document too (RELIABILITY.md)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
