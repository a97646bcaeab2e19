"""Count the names that a vocabulary lets a model find, and what it invents.

python -m benchmark.accuracy.vocabulary --folder DIR [--languages es fr --most 3 --json FILE]. For
each recording the names are the longest words that one clip of its language alone has. The model
transcribes it without a vocabulary, with one of these names and as many of other recordings, and
with one of others' names alone; and all sounds without and with one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asr.cli.settings import config_of
from asr.metrics import Metrics
from asr.options import Options
from asr.text import plain_word
from asr.transcription.service import open_service
from asr.transcription.transcriber import Transcriber
from benchmark.accuracy.scoring import errors
from benchmark.accuracy.speech_folder import CLIPS, RECORDINGS, SOUNDS, Sample, read
from benchmark.accuracy.speech_scores import of_language
from benchmark.tables import aligned

NAMES = 6  # A recording has at most so many names of its own in a vocabulary.
LETTERS = 5  # A word with fewer letters is no name.
BREAKS = re.compile(r"[\s'\u2019\-]+")
MARKS = ".,!?¡¿«»:;()\u2014\u2013\"'\u2026"
NONE, OWN, OTHERS = "none", "its names and others'", "others' names"
SOUND_NAMES = ("dromedario", "inukshuk", "pacana", "caléndula", "carpincho", "Tamworth", "quetzal")


@dataclass
class Count:
    """What was written with one kind of vocabulary."""

    names: int = 0  # spoken
    found: int = 0
    words: int = 0  # spoken
    wrong: int = 0
    invented: list[str] = field(default_factory=list)  # names that nobody said
    texts: dict[str, str] = field(default_factory=dict)


def words(text: str) -> list[str]:
    return [word.strip(MARKS) for word in BREAKS.split(text) if plain_word(word)]


def plain(text: str) -> set[str]:
    return set(map(plain_word, words(text)))


def names_of(samples: Sequence[Sample], clips: Sequence[Sample]) -> dict[str, list[str]]:
    """Return the names of each recording: its longest words that one clip alone has."""
    clip_count = Counter(word for clip in clips for word in plain(clip.text))
    names = {}
    for sample in samples:
        rare = {
            plain_word(word): word
            for word in words(sample.text)
            if len(word) >= LETTERS and clip_count[plain_word(word)] <= 1
        }
        names[sample.name] = sorted(rare.values(), key=lambda word: (-len(word), word))[:NAMES]
    return names


def vocabularies(sample: Sample, names: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """Return the kinds of vocabulary for one recording."""
    own, said = names[sample.name], plain(sample.text)
    others = [
        word
        for name, known in names.items()
        if name != sample.name
        for word in known
        if plain_word(word) not in said
    ]
    mixed = sorted([*own, *others[:NAMES]], key=plain_word)
    return {NONE: (), OWN: tuple(mixed), OTHERS: tuple(others[NAMES : 3 * NAMES])}


async def speech(
    transcriber: Transcriber, samples: Sequence[Sample], names: dict[str, list[str]]
) -> dict[str, Count]:
    """Transcribe recordings of one language with each kind of vocabulary."""
    counts = {kind: Count() for kind in (NONE, OWN, OTHERS)}
    for sample in samples:
        for kind, known in vocabularies(sample, names).items():
            text = await _text(transcriber, sample, known)
            count, written, said = counts[kind], plain(text), plain(sample.text)
            wrong = errors([(sample.text, text)], of_language(sample.language))
            count.names += len(names[sample.name])
            count.found += sum(plain_word(name) in written for name in names[sample.name])
            count.words += wrong.words
            count.wrong += wrong.replaced + wrong.lost + wrong.invented
            count.invented += [n for n in known if plain_word(n) in written - said]
            count.texts[sample.name] = text
    return counts


async def silence(transcriber: Transcriber, samples: Sequence[Sample]) -> dict[str, Count]:
    """Transcribe sounds in which nobody speaks."""
    counts = {NONE: Count(), OTHERS: Count()}
    for kind, known in ((NONE, ()), (OTHERS, SOUND_NAMES)):
        for sample in samples:
            text = await _text(transcriber, sample, known)
            if text.strip():
                counts[kind].texts[sample.name] = text
            counts[kind].invented += [n for n in known if plain_word(n) in plain(text)]
    return counts


async def _text(transcriber: Transcriber, sample: Sample, known: Iterable[str]) -> str:
    options = Options(language=sample.language or None, vocabulary=tuple(known))
    with sample.audio.open("rb") as file:
        transcript, _ = await transcriber.transcribe(file, options)
    return transcript.text


async def measure(arguments: argparse.Namespace) -> dict[str, dict[str, Count]]:
    """Measure all that is asked for; print each table when it is there."""
    trials = [RECORDINGS, SOUNDS] if arguments.sounds else [RECORDINGS]
    samples, clips = read(arguments.folder, trials), read(arguments.folder, [CLIPS])
    found: dict[str, dict[str, Count]] = {}
    async with open_service(config_of(None, None, None), Metrics()) as service:
        for language in arguments.languages:
            spoken = [s for s in samples if s.language == language and s.audio.stem != "long"]
            names = names_of(spoken, [clip for clip in clips if clip.language == language])
            chosen = spoken[: arguments.most]
            found[language] = await speech(service.transcriber, chosen, names)
            print(_table(language, found[language]), flush=True)
        if arguments.sounds:
            sounds = [sample for sample in samples if sample.trial == SOUNDS]
            found[SOUNDS] = await silence(service.transcriber, sounds)
            print(_table(SOUNDS, found[SOUNDS]), flush=True)
    return found


def _table(title: str, counts: dict[str, Count]) -> str:
    rows = [
        [
            f"{title}: {kind}",
            f"{count.found}/{count.names}",
            f"{count.wrong}/{count.words}",
            str(len(count.texts)),
            ", ".join(count.invented) or "none",
        ]
        for kind, count in counts.items()
    ]
    head = ["vocabulary", "names found", "wrong words", "files with text", "names invented"]
    return "\n".join(aligned([head, *rows]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--languages", nargs="*", default=["es", "fr", "ru"])
    parser.add_argument("--most", type=int, default=3, help="recordings of each language")
    parser.add_argument("--no-sounds", dest="sounds", action="store_false")
    parser.add_argument("--json", type=Path, help="keep all texts in this file")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments))
    if arguments.json is not None:
        kept = {
            trial: {kind: vars(count) for kind, count in counts.items()}
            for trial, counts in found.items()
        }
        arguments.json.write_text(json.dumps(kept, ensure_ascii=False, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
