"""What is measured of a diarizer, summed up in rows and judged by marks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmark.engine_comparison.goals import Goal
from benchmark.tables import aligned

COLLAR, STRICT = "collar", "strict"  # ±0.25 s around each turn's limits is not scored; all is.
SAMPLE, LONG = "pyannote's sample", "long"  # The kinds that the composed recordings are not.
ALL, HOUR, TEN_HOURS = "all composed", "1 hour", "10 hours"
HEADINGS = (
    "recordings", "files", "minutes", "DER ±0.25 %", "DER 0 %", "confusion %", "missed %",
    "false alarm %", "counts right", "off by", "x real time", "decided s", "load s", "MiB",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Holds one recording's figures."""

    name: str
    kind: str
    speakers: int
    voices: int  # speakers that were found
    seconds: float
    cpu_s: float
    finish_s: float  # CPU seconds to decide who spoke, after the last sample
    load_s: float
    grown_mib: float  # peak memory beyond that of a process with torch alone
    scores: Mapping[str, Mapping[str, float]]  # seconds of each part of the error, by collar

    @property
    def has_right_count(self) -> bool:
        return self.speakers == self.voices


def der(files: Sequence[Measured], collar: str) -> float:
    """Return the diarization error rate of all files together, in percent."""
    return sum(share(files, collar, part) for part in ("confusion", "missed", "false_alarm"))


def share(files: Sequence[Measured], collar: str, part: str) -> float:
    """Return one part of the error, in percent of all speech."""
    total = sum(one.scores[collar]["total"] for one in files)
    return 100 * sum(one.scores[collar][part] for one in files) / max(total, 1e-9)


def right_counts(files: Sequence[Measured]) -> float:
    """Return the share of files whose number of speakers is right, in percent."""
    return 100 * sum(one.has_right_count for one in files) / len(files)


def speed(files: Sequence[Measured]) -> float:
    """Return seconds of audio for a second of one core."""
    return sum(one.seconds for one in files) / max(sum(one.cpu_s for one in files), 1e-9)


def composed(files: Sequence[Measured]) -> list[Measured]:
    return [one for one in files if one.kind not in (SAMPLE, LONG)]


def groups(files: Sequence[Measured]) -> dict[str, list[Measured]]:
    """Return the rows of the table: each kind, all composed files, each long file."""
    found: dict[str, list[Measured]] = {}
    for one in composed(files):
        found.setdefault(one.kind, []).append(one)
    if found:
        found[ALL] = composed(files)
    for one in files:
        if one.kind in (SAMPLE, LONG):
            found[one.name] = [one]
    return found


def table(files: Sequence[Measured]) -> str:
    rows = [HEADINGS, *(_row(name, group) for name, group in groups(files).items())]
    return "\n".join(aligned(rows))


def _row(name: str, files: Sequence[Measured]) -> tuple[str, ...]:
    return (
        name,
        str(len(files)),
        f"{sum(one.seconds for one in files) / 60:.1f}",
        f"{der(files, COLLAR):.1f}",
        f"{der(files, STRICT):.1f}",
        *(f"{share(files, COLLAR, one):.1f}" for one in ("confusion", "missed", "false_alarm")),
        f"{sum(one.has_right_count for one in files)}/{len(files)}",
        str(sum(abs(one.speakers - one.voices) for one in files)),
        f"{speed(files):.1f}",
        f"{_finish(files):.2f}",
        f"{max(one.load_s for one in files):.1f}",
        f"{_grown(files):.0f}",
    )


def marks(files: Sequence[Measured]) -> list[Goal]:
    """Return what the built-in diarizer must reach; what was not measured has no figure."""
    found = groups(files)
    longest = max(
        (one for one in files if one.kind == LONG), key=lambda one: one.seconds, default=None
    )
    name = longest.name if longest else TEN_HOURS

    def of(row: str, figure: Callable[[Sequence[Measured]], float]) -> float | None:
        return figure(found[row]) if row in found else None

    return [
        Goal("composed: DER ±0.25", 13.0, of(ALL, _der_collar), "%", at_most=True),
        Goal("composed: speakers counted right", 85.0, of(ALL, right_counts), "%"),
        Goal("composed: audio for a second of one core", 15.0, of(ALL, speed), "s"),
        Goal("sample: DER ±0.25", 0.0, of(SAMPLE, _der_collar), "%", at_most=True),
        Goal("an hour: CPU time to decide", 0.5, of(HOUR, _finish), "s", at_most=True),
        Goal(f"{name}: memory", 500.0, of(name, _grown), "MiB", at_most=True),
    ]


def _der_collar(files: Sequence[Measured]) -> float:
    return der(files, COLLAR)


def _finish(files: Sequence[Measured]) -> float:
    return max(one.finish_s for one in files)


def _grown(files: Sequence[Measured]) -> float:
    return max(one.grown_mib for one in files)
