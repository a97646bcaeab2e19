"""Score diarizations by pyannote.metrics: JSON comes on standard input, and goes out.

It runs in an environment that has pyannote.metrics and perhaps nothing of ours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

# pyannote.metrics' collar is the whole width: no score 0.25 s before and after each turn's limits.
COLLARS = {"collar": 0.5, "strict": 0.0}
PARTS = {
    "total": "total",
    "confusion": "confusion",
    "missed": "missed detection",
    "false_alarm": "false alarm",
}


def main() -> None:
    files = json.load(sys.stdin)
    json.dump([score(**one) for one in files], sys.stdout)


def score(reference: Any, turns: Any, seconds: float) -> dict[str, dict[str, float]]:
    """Return the parts of the error, in seconds, by collar; overlapped speech counts.

    Args:
        reference: start and end in seconds, and the speaker, of each turn.
        turns: the same as a diarizer found it.
        seconds: length of the recording.
    """
    whole = Timeline([Segment(0, seconds)])
    scores = {}
    for name, collar in COLLARS.items():
        metric = DiarizationErrorRate(collar=collar, skip_overlap=False)
        found = metric(annotation(reference), annotation(turns), uem=whole, detailed=True)
        scores[name] = {ours: float(found[theirs]) for ours, theirs in PARTS.items()}
    return scores


def annotation(turns: Sequence[tuple[float, float, object]]) -> Annotation:
    made = Annotation()
    for number, (start, end, speaker) in enumerate(turns):
        made[Segment(start, end), number] = str(speaker)
    return made


if __name__ == "__main__":
    main()
