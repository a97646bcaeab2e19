"""Show which doubted texts to keep: python -m benchmark.accuracy.doubts --folder DIR --json FILE.

The model decodes every file of the folder once, and FILE keeps its figures. Each row of the table
is a threshold of the mean logprob, each column one of the voice detector's certainty.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from asr.audio.decoder import Decoder
from asr.config.config import Config
from asr.engines import load
from asr.engines.engine import Engine, Window, WindowResult
from asr.metrics import Metrics
from asr.options import Options
from asr.pcm import Samples
from asr.transcription.coverage import VOICE_DISTANCE, SpeechCoverage
from asr.transcription.cutter import Cutter
from asr.vad.silero import Silero, SileroTrack
from benchmark.load.clips import AUDIO_FILE
from benchmark.tables import aligned

SOUNDS = "sounds"  # The files in this folder hold no speech, those in all others do.
CERTAINTIES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1.01)  # From 0 on nothing is dropped.
LOGPROBS = (-0.6, -0.8, -1.0, -1.2, -1.5, -9.0)
USUAL = Config().thresholds


@dataclass(frozen=True)
class Text:
    """One segment as the engine wrote it, and what speaks for or against it."""

    file: str  # below the folder
    text: str
    own_logprob: float
    doubt: str | None  # at the usual thresholds
    certainty: float  # of a voice there

    @property
    def words(self) -> int:
        return len(self.text.split())

    def is_kept(self, logprob: float, certainty: float) -> bool:
        """Whether the text is given out with these thresholds."""
        other = None if self.doubt == "unlikely" else self.doubt
        is_doubted = self.own_logprob < logprob or other is not None
        is_text = any(map(str.isalnum, self.text))
        return is_text and (not is_doubted or self.certainty >= certainty)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if not options.json.exists():
        texts = [asdict(text) for text in decoded(options.folder, options.most)]
        options.json.write_text(json.dumps(texts, ensure_ascii=False, indent=0) + "\n")
    print(table([Text(**one) for one in json.loads(options.json.read_text())]))
    return 0


def table(texts: Sequence[Text]) -> str:
    """Return sounds with text, and words of speech that are not given out, per cell."""
    sounds = [text for text in texts if text.file.startswith(SOUNDS)]
    speech = [text for text in texts if not text.file.startswith(SOUNDS)]
    rows = [("logprob", *(f"certain {certainty:g}" for certainty in CERTAINTIES))]
    for logprob in LOGPROBS:
        cells = []
        for certainty in CERTAINTIES:
            false = {text.file for text in sounds if text.is_kept(logprob, certainty)}
            lost = sum(text.words for text in speech if not text.is_kept(logprob, certainty))
            cells.append(f"{len(false)} / {lost}")
        rows.append((f"{logprob:g}", *cells))
    words = sum(text.words for text in speech)
    note = f"sounds with text / words not given out of {words} that were written for speech"
    return "\n".join([*aligned(rows), note])


def decoded(folder: Path, most: int | None) -> Iterator[Text]:
    """Decode the files of each folder below; a folder's name is the language where it is one."""
    engine = load.load(Config.from_environment(os.environ))
    detector = Silero.load()
    for place in sorted({file.parent for file in folder.rglob("*") if _is_audio(file)}):
        language = place.name if place.name in engine.info.languages else None
        options = Options(language, thresholds=USUAL)
        for file in sorted(filter(_is_audio, place.iterdir()))[:most]:
            name = str(file.relative_to(folder))
            print(name, file=sys.stderr, flush=True)
            samples, track = _samples(file), detector.begin()
            track.push(samples)
            track.finish()
            for result in _results(engine, samples, track, options):
                yield from _texts(name, result, track)


def _results(
    engine: Engine, samples: Samples, track: SileroTrack, options: Options
) -> list[WindowResult]:
    cutter, coverage = Cutter(30.0, None), SpeechCoverage(track, 0.0, Metrics())
    windows = [*cutter.push(samples), *cutter.finish()]
    waiting = [replace(w, options=options) for w in windows if not coverage.is_silent(w)]
    results: dict[Window, WindowResult] = {}
    while waiting or engine.held():
        free = engine.free()
        admitted, waiting = waiting[:free], waiting[free:]
        results |= {one.window: one for one in engine.step(admitted) if one.is_final}
    return sorted(results.values(), key=lambda result: result.window.start)


def _texts(name: str, result: WindowResult, track: SileroTrack) -> Iterator[Text]:
    for segment in result.segments:
        start = result.window.start + segment.start - VOICE_DISTANCE
        end = result.window.start + segment.end + VOICE_DISTANCE
        logprob = 0.0 if segment.own_logprob is None else segment.own_logprob
        certainty = round(track.certainty(start, end), 3)
        yield Text(name, segment.text, round(logprob, 3), segment.doubt, certainty)


def _samples(file: Path) -> Samples:
    data = file.read_bytes()

    async def whole() -> AsyncIterator[bytes]:
        yield data

    async def blocks() -> list[Samples]:
        return [block async for block in decoder.blocks(whole())]

    decoder = Decoder(0, 1)
    try:
        return np.concatenate(asyncio.run(blocks()))
    finally:
        decoder.close()


def _is_audio(file: Path) -> bool:
    return AUDIO_FILE.fullmatch(file.name) is not None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmark.accuracy.doubts", description=__doc__)
    add = parser.add_argument
    add("--folder", type=Path, required=True, help=f"with {SOUNDS} and folders of speech")
    add("--json", type=Path, required=True, help="the figures; they are read if the file exists")
    add("--most", type=int, metavar="N", help="at most N files of each folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
