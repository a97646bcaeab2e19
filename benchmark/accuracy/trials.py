"""Measure a server on speech whose words and times are all known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from asr.pcm import SAMPLE_RATE, Samples
from benchmark.accuracy.client import Server, Timed, Transcription, TranscriptionFailed
from benchmark.accuracy.noises import sounds
from benchmark.accuracy.scoring import (
    end_errors,
    errors,
    median,
    quantile,
    same_words,
    share_covered,
    start_errors,
)
from models.demo import synthesise
from models.demo.figure import Figure
from models.demo.synthesise import Recording

AS_SERVED = "cut by the server's rule"  # This rule cuts at pauses, unless settings change it.
REPEATS = 10  # A sentence is spoken so many times in a row.
PAUSE_SECONDS = 0.6  # Between repeats nobody speaks for so many seconds.
SILENCE_SECONDS = 40.0  # Between two stretches of speech nobody speaks for so many seconds.
CUTS = np.arange(29.0, 31.01, 0.25)  # A clip is cut off at each of these, in seconds.
CUT_SHORT = 0.05  # A word that ends nearer to the cut than this, in seconds, may be lost.
LAST_SECONDS = 3.0  # Words are counted as lost within so many seconds before the cut.
QUIET = 19  # So many of the twenty sounds must stay without a word.


@dataclass(frozen=True)
class Ground:
    """Holds what every trial needs: the server and how much it is sent."""

    server: Server
    minutes: float  # of the long file
    language: str
    at_once: int  # clips
    noise_seconds: float = 60.0  # of each sound without speech

    @property
    def long_file(self) -> Recording:
        return _long_file(self.minutes, self.language)


@cache  # the synthesiser's pauses differ by milliseconds from one time to the next
def _long_file(minutes: float, language: str) -> Recording:
    return synthesise.recording(60 * minutes, language, seed=20, voices=3)


Trial = Callable[[Ground], list[Figure]]


def said_words(made: Recording) -> list[Timed]:
    return [Timed(*word) for word in made.words]


def long_file(ground: Ground) -> list[Figure]:
    """Transcribe the long file as the server cuts it.

    The figures are words, coverage, word times, and drift at the end.
    """
    made = ground.long_file
    written, words = _with_words(ground.server, made.samples)
    figures = [wrong_words(AS_SERVED, made, written), drift(AS_SERVED, made, written)]
    sample = f"{ground.minutes:g} min"
    covered = share_covered(said_words(made), written.segments)
    figures.append(Figure("words' seconds under a segment", covered, "%", sample))
    if written.coverage is not None:
        figures.append(Figure("X-Speech-Coverage", 100 * written.coverage, "%", sample))
    return [*figures, *(word_figures(made, written) if words else [])]


def _with_words(server: Server, samples: Samples) -> tuple[Transcription, bool]:
    """Transcribe with times of the words, where the model has them."""
    try:
        return server.transcribe(samples, words=True), True
    except TranscriptionFailed as refusal:
        if "word timestamps" not in str(refusal):
            raise
        return server.transcribe(samples), False


def word_figures(made: Recording, written: Transcription) -> list[Figure]:
    """Measure the start and end errors of the correctly written words."""
    pairs = same_words(said_words(made), written.words)
    starts, ends = start_errors(pairs), end_errors(pairs)
    sample = f"{len(pairs)} of {len(made.words)} words"
    return [
        Figure("word start error, median", median(starts), "s", sample, 0.1),
        Figure("word start error, 90th percentile", quantile(starts, 0.9), "s", sample),
        Figure("word end error, median", median(ends), "s", sample),
        Figure("word end error, 90th percentile", quantile(ends, 0.9), "s", sample),
    ]


def ruled(rule: str) -> Trial:
    """Return a trial that transcribes the long file under another cutting rule."""

    def trial(ground: Ground) -> list[Figure]:
        made = ground.long_file
        written = ground.server.transcribe(made.samples)
        return [wrong_words(rule, made, written), drift(rule, made, written)]

    return trial


def window_by_window(ground: Ground) -> list[Figure]:
    """Transcribe the long file in windows, each from where the last text ended."""
    made = ground.long_file
    written = ground.server.transcribe_window_by_window(made.samples)
    name = "one window at a time"
    return [wrong_words(name, made, written), drift(name, made, written)]


def wrong_words(rule: str, made: Recording, written: Transcription) -> Figure:
    counts = errors([(made.text, written.text)])
    sample = f"{counts.words} words: {counts.replaced} others, {counts.lost} lost"
    return Figure(f"WER, {rule}", counts.rate, "%", f"{sample}, {counts.invented} invented")


def drift(rule: str, made: Recording, written: Transcription) -> Figure:
    """Measure how far the last segment's end is from the last sentence's end."""
    end = written.segments[-1].end if written.segments else 0.0
    away = abs(end - made.sentences[-1].end)
    return Figure(f"drift at the end, {rule}", away, "s", "the last sentence", 0.2)


def silence_amid(ground: Ground) -> list[Figure]:
    """Transcribe speech with 40 s of silence inside; words and times must be right."""
    parts = [synthesise.recording(20, ground.language, seed) for seed in (31, 32)]
    gap = np.zeros(round(SILENCE_SECONDS * SAMPLE_RATE), np.float32)
    written = ground.server.transcribe(np.concatenate([parts[0].samples, gap, parts[1].samples]))
    counts = errors([(f"{parts[0].text} {parts[1].text}", written.text)])
    shift = (len(parts[0].samples) + len(gap)) / SAMPLE_RATE
    starts = [s.start for s in parts[0].sentences] + [shift + s.start for s in parts[1].sentences]
    away = [min((abs(t - s.start) for s in written.segments), default=shift) for t in starts]
    sample = "20 s, 40 s of silence, 20 s"
    return [
        Figure("WER, silence amid", counts.rate, "%", f"{sample}: {counts.words} words"),
        Figure("sentence start error, silence amid, largest", max(away), "s", sample, 1.0),
    ]


def nobody_speaks(ground: Ground) -> list[Figure]:
    """Transcribe twenty sounds without speech; every word written is invented."""
    made = sounds(ground.noise_seconds)
    written = ground.server.transcribe_all(list(made.values()), ground.at_once)
    counts = {name: len(one.text.split()) for name, one in zip(made, written, strict=True)}
    loud = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
    sample = f"{len(made)} x {ground.noise_seconds:g} s without speech"
    quiet = sum(count == 0 for count in counts.values())
    return [
        Figure("sounds without a word", quiet, f"of {len(made)}", loud or sample, QUIET, True),
        Figure("words invented", sum(counts.values()), "", sample),
    ]


def repeats(ground: Ground) -> list[Figure]:
    """Transcribe a sentence spoken ten times; the text must have it ten times."""
    chosen = synthesise.sentences(ground.language, 6, seed=40)
    spoken = [synthesise.speak(s.text, s.language).samples for s in chosen]
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.float32)
    made = [np.tile(np.concatenate([samples, pause]), REPEATS) for samples in spoken]
    written = ground.server.transcribe_all(made, ground.at_once)
    times = [repeats_in(s.text, one.text) for s, one in zip(chosen, written, strict=True)]
    total = errors(
        (" ".join([s.text] * REPEATS), h.text) for s, h in zip(chosen, written, strict=True)
    )
    sample = f"{len(chosen)} sentences, each {REPEATS} times"
    right = sum(count == REPEATS for count in times)
    detail = f"{sample}: {', '.join(map(str, times))} times"
    return [
        Figure(
            "sentences written ten times", right, f"of {len(chosen)}", detail, len(chosen), True
        ),
        Figure("WER, ten times the same", total.rate, "%", sample),
    ]


def repeats_in(sentence: str, written: str) -> int:
    """Return the number of repeats of `sentence` that `written` is closest to."""

    def unlike(count: int) -> int:
        wrong = errors([(" ".join([sentence] * count), written)])
        return wrong.replaced + wrong.lost + wrong.invented

    return min(range(2 * REPEATS + 1), key=unlike)


def borders(ground: Ground) -> list[Figure]:
    """Transcribe clips cut off at 29 to 31 s; no whole word may be lost."""
    made = [synthesise.recording(36, ground.language, seed) for seed in (51, 52)]
    clips = [(one, float(cut)) for one in made for cut in CUTS]
    samples = [one.samples[: round(cut * SAMPLE_RATE)] for one, cut in clips]
    written = ground.server.transcribe_all(samples, ground.at_once)
    said = [_said_before(one, cut) for one, cut in clips]
    pairs = [(" ".join(words), h.text) for words, h in zip(said, written, strict=True)]
    late = lost = 0
    for (one, cut), words, (_, text) in zip(clips, said, pairs, strict=True):
        first = len(_said_before(one, cut - LAST_SECONDS))
        late += len(words) - first
        lost += lost_after(words, text, first)
    rate = errors(pairs).rate
    detail = f"{late} words in the last {LAST_SECONDS:g} s of {len(clips)} clips"
    return [
        Figure("words lost before a cut", lost, "", detail, 0),
        Figure("WER, clips of 29 to 31 s", rate, "%", f"{len(clips)} clips"),
    ]


def _said_before(made: Recording, cut: float) -> list[str]:
    """Return the words that end before `cut`, in seconds."""
    return [word for word, _, end in made.words if end < cut - CUT_SHORT]


def lost_after(said: Sequence[str], written: str, first: int) -> int:
    """Count the lost words among those from index `first` on."""
    kept = errors([(" ".join(said[:first]), written)]).lost
    return max(0, errors([(" ".join(said), written)]).lost - kept)


# The command line selects trials by these names.
TRIALS: dict[str, Trial] = {
    "long": long_file,
    "windows": window_by_window,
    "silence": silence_amid,
    "noise": nobody_speaks,
    "repeats": repeats,
    "borders": borders,
}
