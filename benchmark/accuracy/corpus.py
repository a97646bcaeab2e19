"""Score a server on a folder of recordings with their texts.

The folder has LibriSpeech's layout, or a .txt file beside each recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from benchmark.accuracy.client import Server, TranscriptionFailed
from benchmark.accuracy.scoring import Errors, Normalise, errors, quantile
from benchmark.load.clips import AUDIO_FILE

# LibriSpeech's files with this ending have a line for each recording: its name, its text.
LIST_ENDING = ".trans.txt"


@dataclass(frozen=True)
class Spoken:
    """Pairs a recording with the text that is spoken in it."""

    audio: Path
    text: str


@dataclass(frozen=True)
class Scored:
    """Pairs the text spoken in a recording with the text that a server wrote."""

    name: str
    said: str
    written: str
    seconds: float  # of audio
    coverage: float | None  # share of the speech, where the server measures it
    failure: str | None = None


@dataclass(frozen=True)
class Summary:
    """Sums up the errors and the coverage of all recordings."""

    files: int
    failed: int
    seconds: float
    errors: Errors
    least_coverage: float | None
    coverage_p10: float | None  # one file of ten has less


def normaliser(language: str | None) -> Normalise:
    """Return Whisper's own text normaliser for `language`.

    The English one writes numbers and spellings alike, the other one only removes case and
    punctuation.
    """
    made = EnglishTextNormalizer() if language in {None, "en"} else BasicTextNormalizer()

    def normalise(text: str) -> str:
        return str(made(text)).strip()

    return normalise


def collect(folder: Path) -> list[Spoken]:
    """Return every recording under `folder` that has a text, sorted by path.

    Raises:
        ValueError: no recording has a text.
    """
    listed = [
        spoken for file in sorted(folder.rglob(f"*{LIST_ENDING}")) for spoken in _listed(file)
    ]
    texts = {spoken.audio: spoken for spoken in [*_pairs(folder), *listed]}
    if not texts:
        raise ValueError(
            f"{folder} has no recording with its text: a list *{LIST_ENDING}, or a.txt beside a.wav"
        )
    return [texts[path] for path in sorted(texts)]


def _listed(file: Path) -> Iterator[Spoken]:
    for line in file.read_text(encoding="utf-8").splitlines():
        name, _, text = line.strip().partition(" ")
        for audio in sorted(file.parent.glob(f"{name}.*")) if name else ():
            if AUDIO_FILE.fullmatch(audio.name):
                yield Spoken(audio, text)


def _pairs(folder: Path) -> Iterator[Spoken]:
    for audio in sorted(folder.rglob("*")):
        text = audio.with_suffix(".txt")
        if AUDIO_FILE.fullmatch(audio.name) and text.is_file():
            yield Spoken(audio, " ".join(text.read_text(encoding="utf-8").split()))


def transcribe(server: Server, spoken: list[Spoken], at_once: int) -> list[Scored]:
    """Send each recording to the server; one that fails counts as without text."""

    def score(one: Spoken) -> Scored:
        try:
            written = server.transcribe(one.audio)
        except TranscriptionFailed as failure:
            return Scored(one.audio.name, one.text, "", 0.0, None, str(failure))
        return Scored(one.audio.name, one.text, written.text, written.seconds, written.coverage)

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(score, spoken))


def summary(scored: list[Scored], normalise: Normalise) -> Summary:
    """Count the errors over all words together, as papers do."""
    covered = [one.coverage for one in scored if one.coverage is not None]
    return Summary(
        len(scored),
        sum(one.failure is not None for one in scored),
        sum(one.seconds for one in scored),
        errors(((one.said, one.written) for one in scored), normalise),
        min(covered, default=None),
        quantile(covered, 0.1) if covered else None,
    )
