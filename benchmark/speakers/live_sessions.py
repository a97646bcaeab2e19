"""Measure who speaks in live sessions: python -m benchmark.speakers.live_sessions.

Recordings are cut into utterances by the server's detector, and the voices of each are recognised
before the next one comes, as in a session. The rule is chosen on one half of the voices (--tuning),
the figures are those of the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    from benchmark import missing_packages

    missing_packages.explain()

import numpy as np
import torch

from asr.config.config import Config
from asr.diarization.diarizer import Diarization, Diarizer
from asr.diarization.load import load
from asr.live.endpointing import Edge, Endpointer
from asr.live.options import TurnDetection
from asr.live.speakers.completions import UNGROUPED
from asr.live.speakers.people import SessionPeople
from asr.live.voice import VoiceTrack, choose
from asr.options import SpeakerOptions
from asr.pcm import SAMPLE_RATE, Samples
from benchmark.speakers import voices
from benchmark.speakers.compose import Case, Reference, compose
from benchmark.tables import aligned

LONGEST = 30 * SAMPLE_RATE  # An utterance of more samples goes on in another window.
GRID = 0.05  # Whose speech it is, is compared every so many seconds.
NEAREST = 0.5  # A moment without a turn has the speaker of one that is nearer, in seconds.
TUNING_SEED = 7000  # The seeds of the recordings for choosing the rule begin here.
TURNS, SHORT, MIXED = (1.5, 8.0), (0.6, 2.5), (0.8, 6.0)  # seconds of the shortest, the longest


@dataclass(frozen=True)
class Window:
    """An utterance, or a part of a long one, and the voices in it."""

    start: float  # seconds from the recording's start
    found: Diarization  # each stretch has a voice of its own


@dataclass(frozen=True)
class LiveRecording:
    """A recording as a live session hears it, and as a whole."""

    case: Case
    reference: Reference
    windows: list[Window]
    whole: Diarization


@dataclass(frozen=True)
class Score:
    """Holds what is right of some recordings."""

    moments: int  # of speech
    right: int  # moments that have the right speaker
    labels: int
    people: int

    def __add__(self, other: Score) -> Score:
        return Score(
            self.moments + other.moments,
            self.right + other.right,
            self.labels + other.labels,
            self.people + other.people,
        )

    def __str__(self) -> str:
        return f"{100 * self.right / max(self.moments, 1):.1f} %, {self.labels}/{self.people}"


Turns = Sequence[tuple[float, float, int]]  # start and end in seconds, and the label


def cases(tuning: bool) -> Iterator[Case]:
    """List the recordings of one half of the voices, half an hour."""
    seed = TUNING_SEED if tuning else 0
    for number in range(9):
        people = 2 + number % 3
        yield Case(f"turns-{people}-{number}", people, 60.0, seed + number, TURNS)
    for number in range(100, 112):
        people = 2 + number % 3
        name, kind = f"short-{people}-{number}", "short turns"
        yield Case(name, people, 60.0, seed + number, SHORT, kind=kind)
    for number, people in enumerate((3, 4), 200):
        name, kind = f"minutes-{people}-{number}", "five minutes"
        yield Case(name, people, 300.0, seed + number, MIXED, kind=kind)


def recordings(folder: Path, tuning: bool) -> Iterator[LiveRecording]:
    """Compose the recordings of one half of the voices, and take the voices of their windows."""
    diarizer = load(Config.from_environment({"DEVICE": "cpu"}))
    chosen = voices.half(voices.read(folder), tuning)
    for case in cases(tuning):
        made = compose(case, voices.enough(chosen, case.speakers))
        samples = np.concatenate(list(made.blocks())).astype(np.float32)
        windows = [
            Window(start / SAMPLE_RATE, _diarized(diarizer, samples[start:end], UNGROUPED))
            for start, end in utterances(samples)
        ]
        whole = _diarized(diarizer, samples, SpeakerOptions())
        print(f"{case.name}: {len(windows)} utterances", file=sys.stderr, flush=True)
        yield LiveRecording(case, made.reference, windows, whole)


def utterances(samples: Samples) -> Iterator[tuple[int, int]]:
    """Cut a recording as a session with the default settings does; from and to, in samples."""
    turns = TurnDetection()
    track, ends = VoiceTrack(choose().begin(None)), Endpointer(turns, LONGEST)
    silence = np.zeros(2 * round(turns.silence * SAMPLE_RATE), np.float32)
    padded, start = np.concatenate([samples, silence]), 0
    for place in range(0, len(padded), SAMPLE_RATE):
        frames = track.push(padded[place : place + SAMPLE_RATE], turns.threshold)
        for boundary in ends.push(frames):
            if boundary.edge is not Edge.START:
                yield start, min(boundary.at, len(samples))
            start = boundary.at


def _diarized(diarizer: Diarizer, samples: Samples, speakers: SpeakerOptions) -> Diarization:
    session = diarizer.begin(speakers)
    session.push(samples)
    session.complete()
    while session.advance():
        pass
    return session.finish()


def live_turns(windows: Sequence[Window]) -> list[tuple[float, float, int]]:
    """Recognise the voices of one window after the other."""
    people = SessionPeople()
    found = [turn for window in windows for turn in people.turns(window.found, window.start)]
    return [(turn.start, turn.end, turn.speaker.number) for turn in found]


def batch_turns(recording: LiveRecording) -> Turns:
    return [(turn.start, turn.end, turn.voice) for turn in recording.whole.turns]


def score(reference: Reference, turns: Turns) -> Score:
    """Count the moments of speech whose label is their speaker's; each has at most one label."""
    names = sorted({name for _, _, name in reference})
    labels = sorted({label for *_, label in turns})
    counts = np.zeros((len(names), len(labels)), np.int64)
    moments = 0
    for start, end, name in reference:
        for time in np.arange(start + GRID / 2, end, GRID):
            moments += 1
            label = _label(turns, float(time))
            if label is not None:
                counts[names.index(name), labels.index(label)] += 1
    return Score(moments, _most_right(counts), len(labels), len(names))


def _label(turns: Turns, time: float) -> int | None:
    """The label of the turn at a moment, as a word there has it: the first or the nearest one's."""
    distances = [max(start - time, time - end, 0.0) for start, end, _ in turns]
    nearest = int(np.argmin(distances)) if distances else -1
    return turns[nearest][2] if distances and distances[nearest] < NEAREST else None


def _most_right(counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> int:
    """The most moments that are right where each person has one label or none."""
    best = {0: 0}  # right moments by which people have a label, a bit each
    for column in counts.T:
        for taken, right in list(best.items()):
            for person, count in enumerate(column.tolist()):
                if not taken >> person & 1:
                    now = taken | 1 << person
                    best[now] = max(best.get(now, 0), right + count)
    return max(best.values())


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    try:
        found = list(recordings(options.folder, options.tuning))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(table(found))
    return 0


def table(found: Sequence[LiveRecording]) -> str:
    """Return a row for each kind: minutes, how much is right, labels beside people."""
    rows: list[tuple[str, ...]] = [("recordings", "minutes", "live", "the whole at once (batch)")]
    for kind in dict.fromkeys(one.case.kind for one in found):
        of_kind = [one for one in found if one.case.kind == kind]
        live = [score(one.reference, live_turns(one.windows)) for one in of_kind]
        batch = [score(one.reference, batch_turns(one)) for one in of_kind]
        minutes = sum(one.reference[-1][1] for one in of_kind) / 60
        rows.append((kind, f"{minutes:.0f}", _sum(live), _sum(batch)))
    return "\n".join(aligned(rows))


def _sum(scores: Sequence[Score]) -> str:
    return str(sum(scores, Score(0, 0, 0, 0)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmark.speakers.live_sessions", description=__doc__
    )
    add = parser.add_argument
    add("--folder", type=Path, required=True, metavar="DIR", help="speech by voices")
    add("--tuning", action="store_true", help="the half of the voices for choosing the rule")
    return parser


if __name__ == "__main__":
    sys.exit(main())
