"""Compare a server with faster-whisper on a folder of speech and sounds."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

from benchmark.accuracy.contenders import (
    FASTER_WHISPER,
    RIVALS,
    Contender,
    Written,
    faster_whisper,
    faster_whisper_python,
)
from benchmark.accuracy.speech_folder import RECORDINGS, SOUNDS, Sample
from benchmark.accuracy.speech_scores import (
    Pair,
    SoundScore,
    SpeechScore,
    score_sounds,
    score_speech,
    wrong_words,
)
from benchmark.engine_comparison.contender import CannotRun
from benchmark.tables import aligned
from models.demo.figure import Figure

OURS = "ours"
GOAL_RIVAL = RIVALS[0].name  # Our goals are stated against this one.
BETTER_LANGUAGES = 2 / 3  # Our WER must not be above the rival's in this share of the languages.
SOUNDS_WITH_TEXT = 3 / 99  # At most this share of the sounds may get a text.
WORST = 5  # So many recordings are printed where ours is worst against the rival.

Score = SpeechScore | SoundScore


@dataclass
class Comparison:
    """Holds what each contender wrote in each trial."""

    pairs: dict[str, dict[str, list[Pair]]] = field(default_factory=dict)  # [trial][contender]
    skipped: dict[str, str] = field(default_factory=dict)  # contender to the reason

    def scores(self, trial: str) -> dict[str, Score]:
        score = score_sounds if trial == SOUNDS else score_speech
        return {name: score(pairs) for name, pairs in self.pairs[trial].items()}

    @property
    def failures(self) -> list[str]:
        """Return a line for each sample that our server did not transcribe."""
        return [
            f"failed: {sample.name}: {written.failure}"
            for pairs in self.pairs.values()
            for sample, written in pairs.get(OURS, ())
            if written.failure is not None
        ]

    def plain(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            trial: {
                name: {
                    "score": asdict(self.scores(trial)[name]),
                    "files": [
                        {**asdict(written), "name": sample.name, "said": sample.text}
                        for sample, written in pairs
                    ],
                }
                for name, pairs in contenders.items()
            }
            for trial, contenders in self.pairs.items()
        }


def run(comparison: Comparison, contender: Contender, samples: Sequence[Sample]) -> None:
    """Let the contender transcribe the samples of its trials, and note the results."""
    for trial in dict.fromkeys(sample.trial for sample in samples):
        if trial not in contender.trials:
            continue
        chosen = [sample for sample in samples if sample.trial == trial]
        print(f"{contender.name}: {len(chosen)} {trial}", file=sys.stderr, flush=True)
        written = _transcribed(contender, chosen, trial)
        comparison.pairs.setdefault(trial, {})[contender.name] = list(
            zip(chosen, written, strict=True)
        )


def _transcribed(contender: Contender, samples: Sequence[Sample], trial: str) -> list[Written]:
    # Recordings go one by one, so that the time of the first words is that of one caller.
    if trial == RECORDINGS or contender.at_once == 1:
        return [contender.transcribe(sample) for sample in samples]
    with ThreadPoolExecutor(contender.at_once) as pool:
        return list(pool.map(contender.transcribe, samples))


def run_rivals(
    comparison: Comparison, samples: Sequence[Sample], model: str, pythons: Mapping[str, str]
) -> None:
    """Let faster-whisper transcribe the samples in each of its ways, on the weights of `model`.

    A way that cannot run is skipped, with the reason; Ctrl-C skips all that is left.
    """
    try:
        python = faster_whisper_python(pythons)
    except CannotRun as error:
        comparison.skipped[FASTER_WHISPER] = str(error)
        return
    for rival in RIVALS:
        try:
            with faster_whisper(rival, model, python) as contender:
                run(comparison, contender, samples)
        except CannotRun as error:
            comparison.skipped[rival.name] = str(error)
        except KeyboardInterrupt:
            comparison.skipped[rival.name] = "interrupted"
            return


def table(comparison: Comparison) -> str:
    """Return a Markdown table with a column for each contender, ours first."""
    names = list(dict.fromkeys(n for contenders in comparison.pairs.values() for n in contenders))
    rows = [("", *names)]
    for trial in comparison.pairs:
        scores = comparison.scores(trial)
        lines = {name: dict(cells(trial, score)) for name, score in scores.items()}
        rows += [
            (label, *(lines.get(name, {}).get(label, "-") for name in names))
            for label in lines[OURS]
        ]
    return "\n".join(aligned(rows))


def cells(trial: str, score: Score) -> list[tuple[str, str]]:
    """Return the labels and values of one contender in one trial."""
    if isinstance(score, SoundScore):
        count = f"{trial} with text, of {score.sounds}"
        return [(count, str(score.with_text)), (f"{trial}: words invented", str(score.words))]
    edges = score.edges
    by_language = [
        (f"{trial}: WER {code}, %", f"{one.errors.rate:.1f}")
        for code, one in score.languages.items()
    ]
    files = sum(one.files for one in score.languages.values())
    right = sum(one.detected for one in score.languages.values())
    return [
        *by_language,
        (f"{trial}: WER, mean of languages, %", f"{score.mean_wer:.1f}"),
        (f"{trial}: CER, mean of languages, %", f"{score.mean_cer:.1f}"),
        (f"{trial}: language detected, of {files}", str(right)),
        (f"{trial}: lost in the first 2 s, of {edges.words} words", str(edges.lost_first)),
        (f"{trial}: lost in the last 2 s, of {edges.words} words", str(edges.lost_last)),
        (f"{trial}: words written twice", str(score.repeated)),
        *_first_words(trial, score),
    ]


def _first_words(trial: str, score: SpeechScore) -> list[tuple[str, str]]:
    if trial != RECORDINGS:
        return []
    return [(f"{trial}: first words, median, s", f"{score.first_s:.1f}")]


def goals(comparison: Comparison) -> list[Figure]:
    """Return our figures that have a goal; those against a rival only where it ran."""
    figures = []
    for trial in comparison.pairs:
        scores = comparison.scores(trial)
        ours, theirs = scores[OURS], scores.get(GOAL_RIVAL)
        if isinstance(ours, SoundScore):
            most = round(SOUNDS_WITH_TEXT * ours.sounds)
            sample = f"{ours.words} words"
            figures.append(Figure("sounds with text", ours.with_text, "", sample, most))
        elif isinstance(theirs, SpeechScore) and trial == RECORDINGS:
            figures += _against(ours, theirs)
    return figures


def _against(ours: SpeechScore, theirs: SpeechScore) -> list[Figure]:
    rates = {code: one.errors.rate for code, one in theirs.languages.items()}
    better = [code for code, one in ours.languages.items() if one.errors.rate <= rates[code]]
    wanted = round(BETTER_LANGUAGES * len(rates))
    not_above = f"languages with WER ≤ {GOAL_RIVAL}"
    return [
        Figure("WER of recordings", ours.mean_wer, "%", GOAL_RIVAL, round(theirs.mean_wer, 2)),
        Figure(not_above, len(better), f"of {len(rates)}", " ".join(better), wanted, True),
    ]


def worst(comparison: Comparison) -> list[str]:
    """Return lines with the recordings where ours is worst against the rival."""
    contenders = comparison.pairs.get(RECORDINGS, {})
    if OURS not in contenders or GOAL_RIVAL not in contenders:
        return []
    lines = []
    ranked = sorted(
        zip(contenders[OURS], contenders[GOAL_RIVAL], strict=True),
        key=lambda both: _wrong(both[1]) - _wrong(both[0]),
    )
    for ours, theirs in ranked[:WORST]:
        sample = ours[0]
        lines += [
            f"{sample.name}: {_wrong(ours)} words wrong, {GOAL_RIVAL} {_wrong(theirs)}",
            f"  said   {sample.text}",
            f"  ours   {ours[1].text.strip()}",
            f"  theirs {theirs[1].text.strip()}",
        ]
    return lines


def _wrong(pair: Pair) -> int:
    counts = wrong_words(pair)
    return counts.replaced + counts.lost + counts.invented
