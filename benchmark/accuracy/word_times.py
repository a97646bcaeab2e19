"""Measure word times on people's speech: python -m benchmark.accuracy.word_times --folder DIR.

Clips with their texts are joined with pauses between them. When the first word of a clip begins
and its last word ends is known from the sound itself: with nothing around them but the pauses,
they are where the clip becomes loud and quiet.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    from benchmark import missing_packages

    missing_packages.explain()

import jiwer
import numpy as np
import soundfile
import soxr

from asr.pcm import SAMPLE_RATE, Samples
from benchmark.accuracy import corpus
from benchmark.accuracy.client import Server, Timed, Transcription
from benchmark.accuracy.scoring import Normalise, median, quantile
from benchmark.demo import SERVER, running_server
from benchmark.recordings import flac
from benchmark.tables import aligned

CLIPS = 10  # A recording has so many clips.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.4, 1.2  # A pause lasts so many seconds at least and at most.
ROOM = 2.4e-4  # The noise in pauses has this RMS: -72 dBFS.
STEP = SAMPLE_RATE // 100  # Loudness is measured every 10 ms, over 20 ms.
QUIET_DB = 30.0  # A clip's speech is what is at most so many dB below its loudest moment.
NOISE_SHARE, NOISE_DB = 5, 10.0  # It is also so many dB above this percentile, the clip's noise.
LASTING = 3  # A sound of fewer steps is a click.
UNKNOWN = math.nan
WORKER = Path(__file__).with_name("faster_whisper_words.py")


@dataclass(frozen=True)
class Joined:
    """Clips in a row: all words, those at pauses with the times that are known."""

    samples: Samples
    words: tuple[Timed, ...]


@dataclass(frozen=True)
class TimeErrors:
    """How far starts and ends of words beside pauses are off, in seconds; later is positive."""

    starts: tuple[float, ...]
    ends: tuple[float, ...]

    def __add__(self, other: TimeErrors) -> TimeErrors:
        return TimeErrors(self.starts + other.starts, self.ends + other.ends)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    normalise = corpus.normaliser(options.language)
    made = list(joined_recordings(corpus.collect(options.folder), normalise))
    print(f"{sum(len(one.samples) for one in made) / SAMPLE_RATE:.0f} s, {len(made)} recordings")
    rows: list[tuple[str, ...]] = [
        ("words beside pauses", "start, median", "90 %", "end, median", "90 %", "words")
    ]
    for name, written in _transcriptions(options, made):
        rows.append(row(name, made, written, normalise))
    print("\n".join(aligned(rows)))
    return 0


def row(
    name: str, made: Sequence[Joined], written: Sequence[Transcription], normalise: Normalise
) -> tuple[str, ...]:
    """A line of the table: absolute errors of the words' and of the segments' times."""
    total = TimeErrors((), ())
    for one, transcription in zip(made, written, strict=True):
        total += time_errors(one.words, transcription.words, normalise)
    figures = []
    for errors in (total.starts, total.ends):
        absolute = [abs(error) for error in errors]
        figures += [f"{median(absolute):.3f} s", f"{quantile(absolute, 0.9):.3f} s"]
    return (name, *figures, f"{len(total.starts)} and {len(total.ends)}")


def joined_recordings(
    spoken: Sequence[corpus.Spoken], normalise: Normalise, seed: int = 3
) -> Iterator[Joined]:
    """Join ten clips at a time."""
    rng = np.random.default_rng(seed)
    for first in range(0, len(spoken), CLIPS):
        parts: list[Samples] = []
        words: list[Timed] = []
        for one in spoken[first : first + CLIPS]:
            clip = _samples(one.audio)
            pause = round(rng.uniform(SHORTEST_PAUSE, LONGEST_PAUSE) * SAMPLE_RATE)
            parts.append((ROOM * rng.standard_normal(pause)).astype(np.float32))
            words += _timed(one.text, clip, sum(map(len, parts)) / SAMPLE_RATE, normalise)
            parts.append(clip)
        yield Joined(np.concatenate(parts), tuple(words))


def _timed(text: str, clip: Samples, offset: float, normalise: Normalise) -> list[Timed]:
    """The words of a clip; of the first one the start is known, of the last one the end."""
    words = text.split()
    start, end = loud_part(clip)
    return [
        Timed(
            normalise(word),
            offset + start if number == 0 else UNKNOWN,
            offset + end if number == len(words) - 1 else UNKNOWN,
        )
        for number, word in enumerate(words)
    ]


def loud_part(clip: Samples) -> tuple[float, float]:
    """When the speech of a clip begins and ends, in seconds, by its loudness."""
    power = np.square(clip[: len(clip) // STEP * STEP].astype(np.float64)).reshape(-1, STEP)
    steps = power.mean(axis=1)
    steps = (steps[:-1] + steps[1:]) / 2  # [steps], each over 20 ms
    noise = np.percentile(steps, NOISE_SHARE) * 10 ** (NOISE_DB / 10)
    loud = steps > min(max(steps.max() / 10 ** (QUIET_DB / 10), noise), steps.max() / 2)
    lasting = np.convolve(loud, np.ones(LASTING), "valid") == LASTING
    places = np.flatnonzero(lasting)
    first, last = int(places[0]), int(places[-1]) + LASTING
    return first * STEP / SAMPLE_RATE, (last + 1) * STEP / SAMPLE_RATE


def time_errors(
    said: Sequence[Timed], written: Sequence[Timed], normalise: Normalise
) -> TimeErrors:
    """Compare the known times with those of the words that were written correctly."""
    said = [word for word in said if len(word.text.split()) == 1]
    plain = (Timed(normalise(word.text), word.start, word.end) for word in written)
    written = [word for word in plain if len(word.text.split()) == 1]
    starts, ends = [], []
    for one, other in _same(said, written):
        if not math.isnan(one.start):
            starts.append(other.start - one.start)
        if not math.isnan(one.end):
            ends.append(other.end - one.end)
    return TimeErrors(tuple(starts), tuple(ends))


def _same(said: Sequence[Timed], written: Sequence[Timed]) -> Iterator[tuple[Timed, Timed]]:
    if not said or not written:
        return
    texts = [" ".join(word.text for word in words) for words in (said, written)]
    for chunk in jiwer.process_words(texts[0], texts[1]).alignments[0]:
        if chunk.type == "equal":
            yield from zip(
                said[chunk.ref_start_idx : chunk.ref_end_idx],
                written[chunk.hyp_start_idx : chunk.hyp_end_idx],
                strict=True,
            )


def _samples(file: Path) -> Samples:
    data, rate = soundfile.read(file, dtype="float32", always_2d=True)
    resampled: Samples = soxr.resample(data.mean(axis=1), rate, SAMPLE_RATE)
    return resampled.astype(np.float32)


def _transcriptions(
    options: argparse.Namespace, made: Sequence[Joined]
) -> Iterator[tuple[str, Sequence[Transcription]]]:
    if options.server:
        yield "ours", _ours(Server(options.server.rstrip("/"), None, options.language), made)
    else:
        with running_server(SERVER) as port:
            yield "ours", _ours(Server(f"http://127.0.0.1:{port}", None, options.language), made)
    if options.faster_whisper:
        yield "faster-whisper", _faster_whisper(options, made)


def _ours(server: Server, made: Sequence[Joined]) -> list[Transcription]:
    return [server.transcribe(one.samples, words=True) for one in made]


def _faster_whisper(options: argparse.Namespace, made: Sequence[Joined]) -> list[Transcription]:
    """Run it in its own Python, one beam, one window after the other, its other defaults."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.flac" for number in range(len(made))]
        for file, one in zip(files, made, strict=True):
            file.write_bytes(flac(one.samples))
        command = [options.python, str(WORKER), options.faster_whisper, options.language or ""]
        lines = subprocess.run(
            [*command, *map(str, files)], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    return [
        Transcription("".join(word[0] for word in words), (), tuple(Timed(*w) for w in words))
        for words in map(json.loads, lines.splitlines())
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmark.accuracy.word_times",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--folder", type=Path, required=True, help="clips of one language with texts: a.wav, a.txt")
    add("--language", help="of the clips (unset: the server detects it)")
    add("--server", metavar="URL", help="a running server (one of our own, with MODEL_ID or demo)")
    add("--faster-whisper", metavar="MODEL", help="compare with it, on this model in its layout")
    add("--python", default=sys.executable, help="a Python that has faster-whisper")
    return parser


if __name__ == "__main__":
    sys.exit(main())
