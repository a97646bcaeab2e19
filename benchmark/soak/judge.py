"""Judge a soak: growth from the middle on, failures, texts, restarts, drift of the latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmark.accuracy.scoring import median, quantile
from benchmark.reliability.usage import Usage
from benchmark.reliability.verdict import Verdict, at_most, reported, unmeasured
from benchmark.soak.callers import Outcomes

RSS_MB = 100.0  # The server may grow by so many MB of 10**6 bytes from the middle on.
EXTRA_DESCRIPTORS = 2  # Growth of at most so many counts as flat: `/metrics` is being asked.
EXTRA_THREADS = 2  # Growth of at most so many counts as flat: pools fill up to their size.
DRIFT = 10.0  # The p95 of the last quarter may be so many percent above that of the third.
FEWEST = 1000  # A quarter with fewer answers has no p95 that a drift could be read from.
DRAIN_S = 100.0  # After SIGTERM requests in flight have so many seconds: DRAIN_TIMEOUT_S.
EXIT_S = DRAIN_S + 5  # After SIGTERM the process ends within so many seconds.
MB_PER_MIB = 2**20 / 1e6
SHOWN = 3  # Of each kind of failure so many are shown.


@dataclass(frozen=True)
class Moment:
    """Holds what the server held at a quiet moment, when nobody called."""

    at: float  # seconds since the start of the soak
    share: float  # of the soak that is done
    usage: Usage


@dataclass
class Record:
    """Holds everything that was measured during a soak."""

    began: float  # by the monotonic clock
    seconds: float = 0.0  # that the soak has lasted
    moments: list[Moment] = field(default_factory=list)
    outcomes: Outcomes = field(default_factory=Outcomes)
    peak_rss: float = 0.0  # MiB, under load
    peak_children_pss: float = 0.0  # MiB, of all children together, under load
    most_children: int = 0
    exits: list[tuple[int, float]] = field(default_factory=list)  # code and seconds, of SIGTERM
    kills: int = 0
    undriven: Sequence[str] = ()  # documented routes that no request asked for
    has_ended_itself: bool = False  # the server, and with it the soak

    @property
    def judged(self) -> list[Moment]:
        """Return the quiet moments from the middle on."""
        return [moment for moment in self.moments if moment.share >= 0.5]


def verdicts(record: Record) -> list[Verdict]:
    outcomes = record.outcomes
    return [
        _growth(record, "RSS growth", lambda u: u.rss * MB_PER_MIB, RSS_MB, "MB"),
        _growth(record, "descriptors, growth", lambda u: u.descriptors, EXTRA_DESCRIPTORS),
        _growth(record, "threads, growth", lambda u: u.threads, EXTRA_THREADS),
        _growth(record, "temporary files, growth", lambda u: u.files, 0),
        _left(record, "temporary files left when nobody calls", lambda u: u.files),
        _left(record, "children left when nobody calls", lambda u: u.children),
        _failures("unexpected 5xx, other statuses and broken connections", outcomes.unexpected),
        _failures("texts unlike those of a caller who is alone", outcomes.unlike),
        _failures("requests in flight at SIGTERM and not answered", outcomes.lost),
        _exits(record),
        _drift(record),
        *_reports(record),
    ]


def _growth(
    record: Record, name: str, of: Callable[[Usage], float], limit: float, unit: str = ""
) -> Verdict:
    """Compare the median of the last third of the judged moments with that of the first."""
    values = [of(moment.usage) for moment in record.judged]
    name = f"{name} from the middle on"
    if len(values) < 3:
        return unmeasured(name, f"≤ {limit:g} {unit}".strip(), "too short")
    third = len(values) // 3
    first, last = median(values[:third]), median(values[-third:])
    grown = last - first
    figure = f"{grown:+.4g} {unit} ({first:.4g} → {last:.4g})".replace(" (", " (", 1)
    return Verdict(name, " ".join(figure.split()), f"≤ {limit:g} {unit}".strip(), grown <= limit)


def _left(record: Record, name: str, of: Callable[[Usage], float]) -> Verdict:
    return at_most(name, max((of(moment.usage) for moment in record.moments), default=0), 0)


def _failures(name: str, counted: dict[str, int]) -> Verdict:
    examples = "; ".join(f"{count} x {what}" for what, count in list(counted.items())[:SHOWN])
    total = sum(counted.values())
    return Verdict(name, f"{total}{f': {examples}' if examples else ''}", "0", total == 0)


def _exits(record: Record) -> Verdict:
    name = "exit after SIGTERM, with its code"
    mark = f"0, ≤ {EXIT_S:g} s"
    if not record.exits:
        return unmeasured(name, mark, "no SIGTERM")
    figure = ", ".join(f"{code} in {seconds:.1f} s" for code, seconds in record.exits)
    passes = all(code == 0 and seconds <= EXIT_S for code, seconds in record.exits)
    return Verdict(name, figure, mark, passes)


def _drift(record: Record) -> Verdict:
    name, mark = "p95 of the last quarter beside the third", f"≤ +{DRIFT:g} %"
    third, last = (
        [
            latency
            for sent, latency in record.outcomes.good
            if begins <= (sent - record.began) / max(record.seconds, 1) < begins + 0.25
        ]
        for begins in (0.5, 0.75)
    )
    if min(len(third), len(last)) < FEWEST:
        return unmeasured(name, mark, f"{len(third)} and {len(last)} answers, {FEWEST} are needed")
    before, after = quantile(third, 0.95), quantile(last, 0.95)
    drift = 100 * (after / before - 1)
    return Verdict(name, f"{drift:+.1f} % ({before:.2f} → {after:.2f} s)", mark, drift <= DRIFT)


def _reports(record: Record) -> list[Verdict]:
    outcomes = record.outcomes
    latencies = [latency for _, latency in outcomes.good]
    p95 = f", p95 {quantile(latencies, 0.95):.2f} s" if latencies else ""
    rate = len(latencies) / max(record.seconds, 1)
    return [
        reported("answered well", f"{len(latencies):,}, {rate:.1f} a second{p95}"),
        reported("clients that crashed", f"{outcomes.crashed:,}"),
        reported(
            "SIGTERM and SIGKILL",
            f"{len(record.exits)} and {record.kills}; {outcomes.saved} in flight at SIGTERM "
            f"answered well, {outcomes.turned_away} turned away meanwhile",
        ),
        reported("refused (429)", f"{outcomes.refused:,}"),
        reported(
            "peaks under load",
            f"RSS {record.peak_rss:.0f} MiB; children {record.most_children}, PSS together "
            f"{record.peak_children_pss:.0f} MiB",
        ),
        reported("documented routes that were not asked", ", ".join(record.undriven) or "none"),
    ]
