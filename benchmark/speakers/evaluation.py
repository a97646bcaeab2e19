"""Measures the diarizer: who speaks when, on files composed of the voices of a speech folder.

Thresholds are chosen on one half of the voices (--tuning), the figures are those of the other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmark import provenance
from benchmark.engine_comparison import environments
from benchmark.engine_comparison.contender import CannotRun, Entry
from benchmark.paths import CACHE, ROOT
from benchmark.speakers import cases, compose, figures, sample, voices
from benchmark.speakers.compose import Reference
from benchmark.speakers.figures import SAMPLE, Measured

OURS = "the server's diarizer"
SERVERS_OWN = "benchmark.speakers.builtin"  # The module that loads what DIARIZER names.
ENVIRONMENT = Entry("diarization", "", ("pyannote",), environment="diarization")
# The networks of the built-in diarizer, as another package uses them.
SHERPA = Entry("sherpa-onnx", "", ("sherpa_onnx", "onnx", "torch"), environment="sherpa-onnx")
SHERPAS = "benchmark.speakers.sherpa_onnx"  # The module that loads it,
SHERPAS_MODELS = "benchmark.speakers.onnx_models"  # and the one that writes what it reads.
WORKER = "benchmark.speakers.worker"
SCORER = "benchmark.speakers.der"
KINDS = ("turns", "short turns", "overlaps", "noise", "single speaker", "sample")


@dataclass(frozen=True)
class Recording:
    """Names a file and says who speaks in it."""

    name: str
    kind: str
    audio: Path
    reference: Reference

    @property
    def speakers(self) -> int:
        return len({name for _, _, name in self.reference})


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 where every mark that was measured is met."""
    options = _parser().parse_args(arguments)
    if options.install:
        needed = [ENVIRONMENT, SHERPA] if options.against else [ENVIRONMENT]
        environments.install(only=[str(one.environment) for one in needed])
    try:
        found = _measured(options, dict(_pair(one) for one in options.python))
    except (CannotRun, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"commit {provenance.commit()}, {provenance.processor()}, one thread")
    for name, files in found.items():
        print(f"\n{name}\n\n{figures.table(files)}")
    goals = figures.marks(found[OURS])
    print("\n" + "\n".join(one.judged() for one in goals))
    if options.json:
        rows = [{"by": name, **asdict(one)} for name, files in found.items() for one in files]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return int(any(one.judged().startswith("missed") for one in goals))


def _measured(options: argparse.Namespace, pythons: Mapping[str, str]) -> dict[str, list[Measured]]:
    """Return each diarizer's figures; the server's own comes first."""
    scorer = environments.program(ENVIRONMENT, pythons)
    contenders = {OURS: (SERVERS_OWN, sys.executable)}
    if options.against:
        python = environments.program(SHERPA, pythons)
        _run([python, "-m", SHERPAS_MODELS])
        contenders[SHERPA.name] = (SHERPAS, python)
    files = list(
        recordings(options.folder, options.only, options.tuning, options.hours, options.every)
    )
    if not files:
        raise ValueError("nothing to measure: name a --folder of speech or more in --only")
    return {
        name: measured(files, module, python, scorer, options.told)
        for name, (module, python) in contenders.items()
    }


def measured(
    files: Sequence[Recording], module: str, python: str, scorer: str, is_told: bool = False
) -> list[Measured]:
    """Diarize each recording in a process of its own, and score all of them.

    Args:
        module: has `load()`, which gives the diarizer.
        python: has the packages of that module.
        scorer: a Python that has pyannote.metrics.
        is_told: whether the diarizer is told the number of speakers.
    """
    answers = []
    for one in files:
        speakers = {"count": one.speakers} if is_told else {}
        heard = answer(python, module, one.audio, speakers)
        multiple = heard["seconds"] / max(heard["cpu_s"], 1e-9)
        say = f"{one.name}: {heard['voices']} speakers, {multiple:.1f} x real time"
        print(say, file=sys.stderr, flush=True)
        answers.append(heard)
    pairs = [
        {"reference": one.reference, "turns": heard.pop("turns"), "seconds": heard["seconds"]}
        for one, heard in zip(files, answers, strict=True)
    ]
    scores = scored(pairs, scorer)
    return [
        Measured(one.name, one.kind, one.speakers, scores=score, **heard)
        for one, heard, score in zip(files, answers, scores, strict=True)
    ]


def answer(python: str, module: str, audio: Path, speakers: dict[str, int]) -> dict[str, Any]:
    """Return what `benchmark.speakers.worker` says of a file in a process of its own.

    Raises:
        CannotRun: it failed.
    """
    command = [python, "-m", WORKER, module, str(audio), json.dumps(speakers)]
    said: dict[str, Any] = json.loads(_run(command))
    return said


def _run(command: Sequence[str], given: str = "") -> str:
    """Run a program of ours, in one thread, with the settings of this process.

    Raises:
        CannotRun: it failed; its reason stands on standard error.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, "PYTHONPATH": path}
    done = subprocess.run(
        command, input=given, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    if done.returncode:
        raise CannotRun(f"{' '.join(command[:4])} failed with exit code {done.returncode}")
    return done.stdout


def scored(pairs: Sequence[dict[str, Any]], scorer: str) -> list[dict[str, dict[str, float]]]:
    """Return the score that `benchmark.speakers.der` gives each of `pairs`, its arguments.

    Raises:
        CannotRun: it failed.
    """
    scores: list[dict[str, dict[str, float]]]
    scores = json.loads(_run([scorer, "-m", SCORER], json.dumps(pairs)))
    return scores


def recordings(
    folder: Path | None,
    kinds: Collection[str],
    tuning: bool,
    hours: Sequence[float],
    every: int = 1,
) -> Iterator[Recording]:
    """Compose recordings of these kinds, write them for listeners too, and fetch the sample.

    Args:
        tuning: of which half the voices are.
        hours: of long recordings besides.
        every: only one recording of so many is composed.
    """
    if folder is not None:
        chosen = voices.half(voices.read(folder), tuning)
        print(f"voices: {', '.join(one.name for one in chosen)}", file=sys.stderr)
        half = CACHE / "diarization" / ("tuning" if tuning else "figures")
        cases_of = [one for one in cases.composed(tuning)[::every] if one.kind in kinds]
        for case in [*cases_of, *map(cases.long, hours)]:
            made = compose.compose(case, voices.enough(chosen, case.speakers))
            file = half / f"{case.name.replace(' ', '-')}.flac"
            made.write(file)
            yield Recording(case.name, case.kind, file, made.reference)
    if "sample" in kinds:
        audio, reference = sample.fetch()
        yield Recording(SAMPLE, SAMPLE, audio, reference)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmark.diarization", description=__doc__)
    folder = os.environ.get("SPEECH_FOLDER")
    add = parser.add_argument
    add(
        "--folder", type=Path, default=Path(folder) if folder else None, metavar="DIR",
        help="speech by voices: clips/LANGUAGE/, english/, voices/NAME/ (SPEECH_FOLDER); "
        "without it only pyannote's sample is measured",
    )  # fmt: skip
    add("--only", nargs="*", choices=KINDS, default=KINDS, help="kinds of recordings (all)")
    add("--tuning", action="store_true", help="the half of the voices for choosing thresholds")
    add("--every", type=int, default=1, metavar="N", help="only every Nth recording (%(default)d)")
    add("--told", action="store_true", help="the diarizer is told the number of speakers")
    add(
        "--long", dest="hours", nargs="*", type=float, default=[], metavar="HOURS",
        help="also compose meetings of so many hours, such as 1 10",
    )  # fmt: skip
    add("--against", choices=[SHERPA.name], help="also measure it, with the same networks")
    add("--install", action="store_true", help="install pyannote.metrics first, and --against")
    add("--python", action="append", default=[], metavar="NAME=PATH",
        help="of an environment: diarization, sherpa-onnx")  # fmt: skip
    add("--json", type=Path, metavar="OUT", help="write everything to this file too")
    return parser
