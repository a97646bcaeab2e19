"""List the recordings that are composed for each half of the voices."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.speakers.compose import Case

SHORT = (0.6, 2.5)  # Short turns have so many seconds.
HALF = 0.5  # Of the turns of an overlapping recording this share overlaps the turn before.
NOISE = 15.0  # Noise lies so many decibels below speech.
HOUR = 3600.0  # seconds
TUNING_SEED = 1000  # The seeds of the recordings for choosing thresholds begin here.


def composed(tuning: bool) -> list[Case]:
    """Return the recordings of one half of the voices, 50 minutes in all."""
    return list(_numbered(TUNING_SEED if tuning else 0))


def long(hours: float) -> Case:
    """Return a meeting of eight people that takes so many hours."""
    name = f"{hours:g} hour" + "s" * (hours != 1)
    return Case(name, 8, hours * HOUR, 500 + round(hours), overlapping=0.1, kind="long")


def _numbered(seed: int) -> Iterator[Case]:
    for number, speakers in enumerate((2, 2, 3, 3, 4, 4, 5, 6, 7, 8)):
        seconds = 150.0 if speakers < 6 else 210.0
        yield Case(f"turns-{speakers}-{number}", speakers, seconds, seed + number)
    for number, speakers in enumerate((2, 3, 4), 20):
        name = f"short-{speakers}-{number}"
        yield Case(name, speakers, 90.0, seed + number, SHORT, kind="short turns")
    for number, speakers in enumerate((2, 3, 4, 4), 40):
        name = f"overlap-{speakers}-{number}"
        yield Case(name, speakers, 120.0, seed + number, overlapping=HALF, kind="overlaps")
    for number, speakers in enumerate((2, 3, 4, 6), 60):
        name = f"noise-{speakers}-{number}"
        yield Case(name, speakers, 120.0, seed + number, noise=NOISE, kind="noise")
    for number, seconds in enumerate((8.0, 30.0, 60.0, 90.0), 80):
        yield Case(f"single-{number}", 1, seconds, seed + number, kind="single speaker")
