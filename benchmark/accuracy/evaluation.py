"""Measures how accurate a server is: words, times, coverage, and invented words.

Without --folder the speech comes from the demo model's synthesiser: all its words and their times
are known.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmark.accuracy import comparison, corpus, speech_folder
from benchmark.accuracy.client import Server, TranscriptionFailed
from benchmark.accuracy.contenders import FASTER_WHISPER, Ours
from benchmark.accuracy.scoring import Normalise, errors
from benchmark.accuracy.trials import TRIALS, Ground, Trial, ruled
from benchmark.demo import SERVER, DemoFailed, running_server
from benchmark.tables import aligned
from models.demo.figure import Figure

# Our server is also measured with these settings, under which it cuts by other rules.
OWN_RULES: Mapping[str, Mapping[str, str]] = {
    "stride of 5 s": {"STRIDE_LENGTH_S": "5"},
    "at every 30 s": {"STRIDE_LENGTH_S": "0"},
}
RULES = "rules"  # The trial of this name starts servers of its own.
WORST = 5  # So many files with the most errors are printed.


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 when every goal is met and every file was transcribed."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        results, holds = _measure(options)
    except (DemoFailed, TranscriptionFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.json is not None:
        about = {"server": options.server or "our own", "minutes": options.minutes}
        about["seconds"] = round(time.monotonic() - started, 1)
        options.json.write_text(
            json.dumps({**about, **results}, indent=1, ensure_ascii=False) + "\n"
        )
    return int(not holds)


def _measure(options: argparse.Namespace) -> tuple[dict[str, object], bool]:
    if options.folder is None:
        return _of_the_demo_set(options)
    if trials := speech_folder.trials_of(options.folder):
        return _of_a_speech_folder(options, trials)
    if options.against:
        raise ValueError(f"--against needs folders {', '.join(speech_folder.TRIALS)} in --folder")
    return _of_a_folder(options)


def _of_the_demo_set(options: argparse.Namespace) -> tuple[dict[str, object], bool]:
    figures = []
    for figure in _measured(options):
        print(f"{figure.name}: {_value(figure)}", file=sys.stderr, flush=True)
        figures.append(figure)
    print(table(figures))
    return {"figures": [asdict(one) for one in figures]}, all(one.holds for one in figures)


def table(figures: Sequence[Figure]) -> str:
    rows = [("figure", "value", "goal", "on")]
    for one in figures:
        goal = "-"
        if one.limit is not None:
            verdict = "met" if one.holds else "MISSED"
            goal = f"{'≥' if one.at_least else '≤'} {one.limit:g} {verdict}"
        rows.append((one.name, _value(one), goal, one.sample))
    return "\n".join(aligned(rows))


def _value(figure: Figure) -> str:
    number = str(figure.value) if isinstance(figure.value, int) else f"{figure.value:.2f}"
    return f"{number} {figure.unit}".strip()


def _measured(options: argparse.Namespace) -> Iterator[Figure]:
    """Run the chosen trials on the named server, or on servers of our own."""
    chosen = [TRIALS[name] for name in options.trials if name in TRIALS]
    server = Server(options.server.rstrip("/"), options.api_key) if options.server else None
    ground = Ground(
        server or Server(""), options.minutes, options.language or "en", options.at_once
    )
    if server is not None:
        yield from _figures(chosen, ground)
        return
    if chosen:
        yield from _on_our_own(chosen, ground, {})
    if RULES in options.trials:
        for name, settings in OWN_RULES.items():
            yield from _on_our_own([ruled(name)], ground, settings)


def _on_our_own(
    trials: Iterable[Trial], ground: Ground, settings: Mapping[str, str]
) -> Iterator[Figure]:
    with running_server(SERVER, settings) as port:
        yield from _figures(trials, replace(ground, server=Server(f"http://127.0.0.1:{port}")))


def _figures(trials: Iterable[Trial], ground: Ground) -> Iterator[Figure]:
    for trial in trials:
        yield from trial(ground)


def _of_a_folder(options: argparse.Namespace) -> tuple[dict[str, object], bool]:
    spoken = corpus.collect(options.folder)
    normalise = corpus.normaliser(options.language)
    if options.server:
        scored = corpus.transcribe(
            Server(options.server.rstrip("/"), options.api_key, options.language),
            spoken,
            options.at_once,
        )
    else:
        with running_server(SERVER) as port:
            server = Server(f"http://127.0.0.1:{port}", language=options.language)
            scored = corpus.transcribe(server, spoken, options.at_once)
    summary = corpus.summary(scored, normalise)
    print(described(summary, scored, normalise))
    return {"summary": asdict(summary), "files": [asdict(one) for one in scored]}, (
        summary.failed == 0
    )


def _of_a_speech_folder(
    options: argparse.Namespace, trials: Sequence[str]
) -> tuple[dict[str, object], bool]:
    chosen = [trial for trial in trials if trial in options.trials]
    if not chosen:
        raise ValueError(f"{options.folder} has only {', '.join(trials)}: name one in --trials")
    samples = speech_folder.read(options.folder, chosen, options.most)
    compared = comparison.Comparison()
    with contextlib.ExitStack() as stack:
        url = options.server or f"http://127.0.0.1:{stack.enter_context(running_server(SERVER))}"
        ours = Ours(Server(url.rstrip("/"), options.api_key), options.at_once)
        comparison.run(compared, ours, samples)
    if options.against == FASTER_WHISPER:
        model = options.ct2 or os.environ.get("MODEL_ID", "demo")
        pythons = dict(one.split("=", 1) for one in options.python)
        comparison.run_rivals(compared, samples, model, pythons)
    figures = comparison.goals(compared)
    skipped = [f"{name} is left out: {why}" for name, why in compared.skipped.items()]
    goals = [table(figures)] if figures else []
    worst = comparison.worst(compared)
    print("\n".join([comparison.table(compared), *skipped, *goals, *worst, *compared.failures]))
    holds = not compared.failures and all(one.holds for one in figures)
    return {"trials": compared.plain(), "goals": [asdict(one) for one in figures]}, holds


def described(
    summary: corpus.Summary, scored: Sequence[corpus.Scored], normalise: Normalise
) -> str:
    """Return lines with the summary and the files with the most errors."""
    counts = summary.errors
    lines = [
        f"WER {counts.rate:.2f} %: {counts.words} words, {counts.replaced} others, "
        f"{counts.lost} lost, {counts.invented} invented",
        f"{summary.files} files, {summary.failed} failed, {summary.seconds:.0f} s of audio",
    ]
    if summary.least_coverage is not None:
        lines.append(
            f"speech under a segment: least {100 * summary.least_coverage:.1f} %, "
            f"10th percentile {100 * (summary.coverage_p10 or 0):.1f} %"
        )
    lines += [f"failed: {one.name}: {one.failure}" for one in scored if one.failure]
    rates = {one.name: errors([(one.said, one.written)], normalise).rate for one in scored}
    worst = sorted((rate, name) for name, rate in rates.items() if rate)[::-1][:WORST]
    return "\n".join([*lines, *(f"{rate:.1f} % wrong: {name}" for rate, name in worst)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmark.accuracy", description=__doc__)
    add = parser.add_argument
    add("--server", metavar="URL", help="a running server (one of our own, with MODEL_ID or demo)")
    add("--api-key", default=os.environ.get("API_KEY"), help="the server's key (API_KEY)")
    add(
        "--folder", type=Path, help="recordings and texts: LibriSpeech's layout, or a.wav and a.txt"
    )
    add("--language", help="language of the audio (unset: the server detects it; demo set: en)")
    add(
        "--minutes",
        type=float,
        default=20.0,
        help="length of the demo set's long file (%(default)g)",
    )
    every = [*TRIALS, RULES, *speech_folder.TRIALS]
    add("--trials", nargs="+", choices=every, default=every, help="of the demo set or folder (all)")
    add("--at-once", type=int, default=4, help="clips sent at once (%(default)d)")
    add("--most", type=int, metavar="N", help="at most N recordings and N clips of each language")
    add("--against", choices=[FASTER_WHISPER], help="also transcribe the folder by this engine")
    add("--ct2", metavar="MODEL", help="its weights: a CTranslate2 directory or id (MODEL_ID)")
    add("--python", action="append", default=[], metavar="faster-whisper=PATH", help="its Python")
    add("--json", type=Path, metavar="OUT", help="write everything to this file too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
