"""Measure the demo model and print every figure of its card: python -m models.demo.evaluate."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from models.demo.figure import Figure
from models.demo.recogniser import Recogniser, Transcribed
from models.demo.scores import (
    boundary_errors,
    empty_share,
    language_share,
    loops,
    median,
    word_error_rate,
    word_start_errors,
)
from models.demo.sets import clips, long_recordings, noises, windows
from models.demo.synthesise import Recording

WEIGHTS = Path(__file__).parent / "weights"


def main() -> None:
    """Print the table; exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the samples")
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    started = time.monotonic()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, fp32, greedy")
    missed = 0
    for part in PARTS:
        for figure in part(Recogniser(asked.model), 8 if asked.quick else 24):
            missed += not figure.holds
            print(_row(figure), flush=True)
    print(f"{missed} targets missed, {time.monotonic() - started:.0f} s")
    sys.exit(1 if missed else 0)


def windows_clean(recogniser: Recogniser, count: int) -> list[Figure]:
    """Full windows with timestamps, without noise."""
    made = windows(count)
    transcribed = recogniser.transcribe(made, timed=True, words=True)
    sample = f"{count} windows of 30 s"
    errors = boundary_errors(made, transcribed)
    word_errors = word_start_errors(made, transcribed)
    return [
        Figure("WER, 30 s, clean", word_error_rate(made, transcribed), "%", _words(made), 5),
        Figure("windows that loop", loops(made, transcribed), "", sample),
        Figure("segment boundary error, median", median(errors), "s", f"{len(errors)} times", 0.15),
        Figure("segment boundary error, 95th percentile", median(errors, 0.95), "s", ""),
        Figure("word start error, median", median(word_errors), "s", f"{len(word_errors)} words"),
        Figure("word start error, 95th percentile", median(word_errors, 0.95), "s", ""),
        Figure("language detected, 30 s", language_share(made, transcribed), "%", sample, 98, True),
        Figure(
            "p(nospeech) on speech, largest",
            max(part.no_speech for part in transcribed),
            "",
            sample,
        ),
    ]


def windows_noisy(recogniser: Recogniser, count: int) -> list[Figure]:
    """Full windows in white noise."""
    figures = []
    for snr, limit in ((20, None), (10, 15), (5, None)):
        made = windows(count, snr_db=snr)
        transcribed = recogniser.transcribe(made, timed=True)
        rate = word_error_rate(made, transcribed)
        figures.append(Figure(f"WER, 30 s, {snr} dB", rate, "%", _words(made), limit))
        if snr == 10:
            share = language_share(made, transcribed)
            figures.append(
                Figure("language detected, 30 s, 10 dB", share, "%", f"{count} windows", 98, True)
            )
    return figures


def windows_untimed(recogniser: Recogniser, count: int) -> list[Figure]:
    """Full windows and clips without timestamps."""
    made, short = windows(count), clips(2 * count)
    transcribed = recogniser.transcribe(made, timed=False)
    rate = word_error_rate(made, transcribed)
    short_rate = word_error_rate(short, recogniser.transcribe(short, timed=False))
    return [
        Figure("WER, 30 s, clean, no timestamps", rate, "%", _words(made), 8),
        Figure(
            "windows that loop, no timestamps", loops(made, transcribed), "", f"{count} windows"
        ),
        Figure("WER, 2-12 s, clean, no timestamps", short_rate, "%", _words(short), 8),
    ]


def clips_timed(recogniser: Recogniser, count: int) -> list[Figure]:
    """Short clips, padded with zeros to 30 s as the feature extractor does."""
    made, noisy = clips(2 * count), clips(2 * count, snr_db=10)
    transcribed = recogniser.transcribe(made, timed=True)
    noisy_rate = word_error_rate(noisy, recogniser.transcribe(noisy, timed=True))
    share = language_share(made, transcribed)
    prompted = word_error_rate(made, recogniser.transcribe(made, timed=True, prompted=True))
    errors = boundary_errors(made, transcribed)
    return [
        Figure("WER, 2-12 s, clean", word_error_rate(made, transcribed), "%", _words(made), 5),
        Figure("WER, 2-12 s, 10 dB", noisy_rate, "%", _words(noisy), 15),
        Figure("WER, 2-12 s, clean, with a prompt", prompted, "%", _words(made)),
        Figure("segment boundary error, 2-12 s, median", median(errors), "s", f"{len(errors)}"),
        Figure("language detected, 2-12 s", share, "%", f"{2 * count} clips", 98, True),
    ]


def translation(recogniser: Recogniser, count: int) -> list[Figure]:
    """Spanish to English."""
    made = windows(count, languages=("es",))
    short = clips(2 * count, languages=("es",))
    rate = word_error_rate(made, recogniser.translate(made), translated=True)
    short_rate = word_error_rate(short, recogniser.translate(short), translated=True)
    return [
        Figure("WER, translation, 30 s, clean", rate, "%", _words(made), 8),
        Figure("WER, translation, 2-12 s, clean", short_rate, "%", _words(short), 8),
    ]


def silence(recogniser: Recogniser, count: int) -> list[Figure]:
    """Windows without speech: the text is empty and p(nospeech) is high."""
    figures = []
    for name, made in noises(max(2, count // 8)).items():
        timed, untimed = (
            recogniser.transcribe(made, timed=True),
            recogniser.transcribe(made, timed=False),
        )
        sample = f"{len(made)} windows, both modes"
        empty = empty_share([*timed, *untimed])
        figures.append(Figure(f"empty text, {name}", empty, "%", sample, 100, True))
        lowest = min(part.no_speech for part in timed)
        figures.append(Figure(f"p(nospeech), {name}, smallest", lowest, "", sample))
    return figures


def long_form(recogniser: Recogniser, count: int) -> list[Figure]:
    """Two minutes and a half through generate's own sequential windows."""
    figures = []
    for language in ("en", "es"):
        made = long_recordings(language, max(1, count // 12))
        transcribed: list[Transcribed] = [recogniser.transcribe_long(part) for part in made]
        rate = word_error_rate(made, transcribed)
        figures.append(Figure(f"WER, 150 s, sequential, {language}", rate, "%", _words(made)))
    return figures


def _words(made: list[Recording]) -> str:
    return f"{sum(len(part.words) for part in made)} words"


def _row(figure: Figure) -> str:
    value = f"{figure.value:.2f} {figure.unit}".strip()
    target = ""
    if figure.limit is not None:
        sign = "≥" if figure.at_least else "≤"
        target = f"{sign} {figure.limit:g} {'' if figure.holds else 'MISSED'}"
    return f"| {figure.name:42} | {value:>8} | {target:14} | {figure.sample} |"


PARTS: tuple[Callable[[Recogniser, int], list[Figure]], ...] = (
    windows_clean, windows_noisy, windows_untimed, clips_timed, translation, silence, long_form,
)  # fmt: skip

if __name__ == "__main__":
    main()
