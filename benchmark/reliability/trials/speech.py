"""Measure that no word is lost and none is invented, over hours and at every border."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg

from benchmark.accuracy import trials
from benchmark.accuracy.client import Server, Transcription
from benchmark.accuracy.scoring import errors
from benchmark.accuracy.trials import Ground
from benchmark.paths import SAMPLES
from benchmark.reliability.server import ServerProcess
from benchmark.reliability.verdict import Verdict, at_most, reported
from models.demo.figure import Figure

AT_ONCE = 4  # So many clips are sent at once.
MINUTES = 60.0  # The long file lasts so long.
SILENT_HOURS = 10  # The mostly silent file lasts so many hours.
SPOKEN = "en-several.flac"  # This sample is spoken at the beginning of each hour.
DRIFT_S = 0.5  # At the end of an hour, times may be wrong by so many seconds.
BORDER_S = 0.2  # Half of the words' starts are wrong by less than so many seconds.
COVERAGE = 0.99  # At least this share of the speech has text.


def silence(folder: Path) -> list[Verdict]:
    """Transcribe twenty sounds without speech, and ten hours that are mostly silent."""
    with ServerProcess(folder, {"MAX_AUDIO_SECONDS": "0"}) as server:
        client = Server(server.url, language="en")
        rows = [_row(figure) for figure in trials.nobody_speaks(_ground(client))]
        once = client.transcribe(SAMPLES / SPOKEN).text
        written = client.transcribe(_mostly_silent(folder)).text
    wrong = errors([(" ".join([once] * SILENT_HOURS), written)])
    name = f"words otherwise than alone in {SILENT_HOURS} h, mostly silent"
    count = wrong.replaced + wrong.lost + wrong.invented
    return [*rows, at_most(f"{name}, of {wrong.words}", count, 0)]


def losslessness(folder: Path) -> list[Verdict]:
    """Transcribe an hour, sentences spoken ten times, and clips that are cut off."""
    with ServerProcess(folder) as server:
        ground = _ground(Server(server.url, language="en"))
        made = ground.long_file
        written = ground.server.transcribe(made.samples, words=True)
        rows = [_row(trials.wrong_words(trials.AS_SERVED, made, written))]
        away = trials.drift(trials.AS_SERVED, made, written).value
        rows.append(at_most("drift at the end of the hour", away, DRIFT_S, "s"))
        [start, *_] = trials.word_figures(made, written)
        rows.append(at_most(f"{start.name}, {start.sample}", start.value, BORDER_S, "s"))
        rows += _orderly(written)
        rows += [_row(figure) for figure in (*trials.repeats(ground), *trials.borders(ground))]
    return rows


def _orderly(written: Transcription) -> list[Verdict]:
    starts = [segment.start for segment in written.segments]
    is_monotone = all(before <= after for before, after in pairwise(starts))
    last = max((segment.end for segment in written.segments), default=0.0)
    covered = written.coverage if written.coverage is not None else 0.0
    return [
        Verdict(f"starts of {len(starts):,} segments", str(is_monotone), "monotone", is_monotone),
        at_most("last end, in seconds of the file", last, written.seconds),
        Verdict("coverage", f"{covered:.3f}", f"≥ {COVERAGE}", covered >= COVERAGE),
    ]


def _ground(server: Server) -> Ground:
    return Ground(server, MINUTES, "en", AT_ONCE)


def _row(figure: Figure) -> Verdict:
    value = f"{figure.value:.4g} {figure.unit}".strip()
    if figure.limit is None:
        return reported(figure.name, f"{value}, {figure.sample}")
    sign = "≥" if figure.at_least else "≤"
    mark = f"{sign} {figure.limit:g}"
    return Verdict(figure.name, f"{value}, {figure.sample}", mark, figure.holds)


def _mostly_silent(folder: Path) -> Path:
    """Return a file of ten hours; each begins with a sample, and nobody speaks in the rest."""
    hour, whole = folder / "hour.flac", folder / "silent.flac"
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y"]
    padded = ["-i", str(SAMPLES / SPOKEN), "-af", "apad=whole_dur=3600", str(hour)]
    looped = ["-stream_loop", str(SILENT_HOURS - 1), "-i", str(hour), "-c", "copy", str(whole)]
    for arguments in (padded, looped):
        subprocess.run([*ffmpeg, *arguments], check=True)
    return whole
