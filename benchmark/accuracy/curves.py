"""Show what a threshold costs and saves: python -m benchmark.accuracy.curves --folder DIR.

The folder's recordings and sounds are transcribed once for each value of the threshold.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    from benchmark import missing_packages

    missing_packages.explain()

from benchmark.accuracy import comparison, speech_folder
from benchmark.accuracy.client import Server
from benchmark.accuracy.comparison import OURS, Comparison
from benchmark.accuracy.contenders import Ours
from benchmark.accuracy.speech_folder import RECORDINGS, SOUNDS, Sample
from benchmark.accuracy.speech_scores import SoundScore, SpeechScore
from benchmark.demo import SERVER, DemoFailed, running_server
from benchmark.tables import aligned

# The thresholds that a request may set, each with the values that are tried.
THRESHOLDS = {
    "logprob_threshold": ("-0.6", "-0.8", "-1", "-1.2", "-1.5", "-2"),
    "no_speech_threshold": ("0.2", "0.4", "0.5", "0.6", "0.8", "1"),
    "compression_ratio_threshold": ("1.8", "2.1", "2.4", "2.8", "3.5"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 when every file was transcribed with every value."""
    options = _parser().parse_args(arguments)
    try:
        samples = speech_folder.read(options.folder, (RECORDINGS, SOUNDS), options.most)
        with ExitStack() as stack:
            port = None if options.server else stack.enter_context(running_server(SERVER))
            server = Server(options.server or f"http://127.0.0.1:{port}", options.api_key)
            ours = Ours(server, options.at_once, detects=False)
            values = options.values or THRESHOLDS[options.threshold]
            curve = [(v, with_value(ours, samples, options.threshold, v)) for v in values]
    except (DemoFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(table(options.threshold, curve))
    failures = [line for _, made in curve for line in made.failures]
    print("\n".join(failures), end="", file=sys.stderr)
    return int(bool(failures))


def with_value(ours: Ours, samples: Sequence[Sample], threshold: str, value: str) -> Comparison:
    """Transcribe the samples with this value of the threshold."""
    print(f"{threshold}={value}", file=sys.stderr, flush=True)
    made = Comparison()
    set_so = replace(ours, server=replace(ours.server, options={threshold: value}))
    comparison.run(made, set_so, samples)
    return made


def table(threshold: str, curve: Iterable[tuple[str, Comparison]]) -> str:
    rows: list[tuple[str, ...]] = [
        (threshold, "sounds with text", "words", "WER %", "others", "lost", "invented")
    ]
    for value, made in curve:
        sounds, speech = made.scores(SOUNDS)[OURS], made.scores(RECORDINGS)[OURS]
        assert isinstance(sounds, SoundScore)
        assert isinstance(speech, SpeechScore)
        counts = [one.errors for one in speech.languages.values()]
        wrong = (
            sum(one.replaced for one in counts),
            sum(one.lost for one in counts),
            sum(one.invented for one in counts),
        )
        texts = (sounds.with_text, sounds.words, f"{speech.mean_wer:.1f}", *wrong)
        rows.append((value, *map(str, texts)))
    return "\n".join(aligned(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmark.accuracy.curves", description=__doc__)
    add = parser.add_argument
    add("--folder", type=Path, required=True, help="with recordings and sounds (tests/README.md)")
    add("--server", metavar="URL", help="a running server (one of our own, with MODEL_ID)")
    add("--api-key", default=os.environ.get("API_KEY"), help="the server's key (API_KEY)")
    add("--threshold", choices=THRESHOLDS, default="logprob_threshold", help="(%(default)s)")
    add("--values", nargs="+", help="of the threshold")
    add("--most", type=int, metavar="N", help="at most N recordings of each language")
    add("--at-once", type=int, default=4, help="sounds sent at once (%(default)d)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
