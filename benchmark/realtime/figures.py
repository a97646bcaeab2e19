"""The arithmetic of live text: when words come, and whether any is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmark.accuracy.scoring import Errors, Normalise, errors, quantile
from benchmark.realtime.client import ITEM, Event, Played
from benchmark.tables import aligned


@dataclass
class Utterance:
    """Holds one utterance: its deltas with their times, and its whole text."""

    deltas: list[tuple[float, str]] = field(default_factory=list)  # seconds after the start
    completed: float | None = None  # seconds after the start
    text: str = ""
    words: list[Event] = field(default_factory=list)  # with their times in the audio
    is_in_context: bool = False  # decoded again behind what was said before

    @property
    def whole_delay(self) -> float | None:
        """Seconds from the end of its last word to its whole text; None without words."""
        if self.completed is None or not self.words:
            return None
        return self.completed - float(self.words[-1]["end"])

    @property
    def first_delay(self) -> float | None:
        """Seconds from the start of its first word to its first delta."""
        if not self.deltas or not self.words:
            return None
        return self.deltas[0][0] - float(self.words[0]["start"])

    @property
    def word_delays(self) -> list[float]:
        """Seconds from the end of each word to the delta that ends it."""
        delays, place, sent = [], 0, list(self._sent())
        for word in self.words:
            place = self.text.find(word["word"].strip(), place) + len(word["word"].strip())
            come = next((at for at, length in sent if length >= place), None)
            if come is not None:
                delays.append(come - float(word["end"]))
        return delays

    @property
    def taken_back(self) -> int:
        """How many words of the deltas do not stand at their place in the whole text."""
        if self.completed is None:
            return 0
        given, whole = "".join(text for _, text in self.deltas).split(), self.text.split()
        kept = next(
            (at for at, word in enumerate(given) if at >= len(whole) or word != whole[at]),
            len(given),
        )
        return len(given) - kept

    def _sent(self) -> list[tuple[float, int]]:
        """The length of the text after each delta."""
        sent, length = [], 0
        for at, text in self.deltas:
            length += len(text)
            sent.append((at, length))
        return sent


def utterances(played: Played) -> list[Utterance]:
    """Return the utterances of a recording, in the order of the audio."""
    found: dict[str, Utterance] = {}
    for at, event in played.events:
        kind = event["type"]
        if kind == f"{ITEM}.delta":
            one = found.setdefault(event["item_id"], Utterance())
            one.deltas.append((at, event["delta"]))
        elif kind == f"{ITEM}.completed":
            one = found.setdefault(event["item_id"], Utterance())
            one.completed, one.text = at, event["transcript"]
            one.words = event.get("words") or []
            one.is_in_context = event["item_id"] in played.in_context
    return list(found.values())


@dataclass(frozen=True)
class Latency:
    """Holds all delays of some sessions, in seconds."""

    whole: Sequence[float]  # from the end of speech to the whole text
    first: Sequence[float]  # from the start of speech to the first delta
    words: Sequence[float]  # from a word's end to its delta
    late: Sequence[float]  # by which this client sent audio too late
    taken_back: int  # words
    failures: Sequence[str]
    in_context: Sequence[float] = ()  # those of `whole` whose utterance was decoded again

    @classmethod
    def of(cls, sessions: Sequence[Played]) -> Latency:
        every = [one for played in sessions for one in utterances(played)]
        failed = [
            f"{event['error'].get('message')}"
            for played in sessions
            for _, event in played.events
            if event["type"] == f"{ITEM}.failed"
        ]
        return cls(
            [one.whole_delay for one in every if one.whole_delay is not None],
            [one.first_delay for one in every if one.first_delay is not None],
            [delay for one in every for delay in one.word_delays],
            [late for played in sessions for late in played.late],
            sum(one.taken_back for one in every),
            [*(played.failure for played in sessions if played.failure is not None), *failed],
            [one.whole_delay for one in every if one.is_in_context and one.whole_delay is not None],
        )


@dataclass(frozen=True)
class Texts:
    """Holds the words of the same recordings in three texts."""

    each: Sequence[tuple[str, str, str]]  # of each recording: said, live, batch
    differing: Errors  # live text beside the batch text
    live: Errors  # beside what is said
    batch: Errors


def texts(sessions: Sequence[Played], batch: Sequence[str], normalise: Normalise) -> Texts:
    """Compare live texts with those of whole files, and both with what is said."""
    live = [" ".join(one.text.strip() for one in utterances(played)) for played in sessions]
    batch = [" ".join(text.split()) for text in batch]
    said = [played.speech.text for played in sessions]
    return Texts(
        list(zip(said, live, batch, strict=True)),
        errors(zip(batch, live, strict=True), normalise),
        errors(zip(said, live, strict=True), normalise),
        errors(zip(said, batch, strict=True), normalise),
    )


def single(latency: Latency, texts: Texts) -> str:
    """Return the table of one session at a time."""
    rows = [
        ("one session at a time", "p50", "p95", "of"),
        _row("end of speech to completed, s", latency.whole, "utterances"),
        *_of_context(latency.in_context),
        _row("start of speech to first delta, s", latency.first, "utterances"),
        _row("a word's end to its delta, s", latency.words, "words"),
    ]
    differing = texts.differing
    wrong = differing.replaced + differing.lost + differing.invented
    return "\n".join(
        [
            *aligned(rows),
            "",
            f"words taken back: {latency.taken_back} of {len(latency.words)}",
            f"words that differ from the batch text: {wrong} of {differing.words} "
            f"({differing.rate:.1f} %)",
            f"words wrong: {texts.live.rate:.1f} % live, {texts.batch.rate:.1f} % batch",
            *(
                f"  live   {live}\n  batch  {batch}"
                for _, live, batch in texts.each
                if live != batch
            ),
        ]
    )


def _of_context(delays: Sequence[float]) -> list[tuple[str, ...]]:
    """Return the row of utterances that were decoded again; none where there were none."""
    return [_row("of unsure short utterances, s", delays, "utterances")] if delays else []


def _row(name: str, delays: Sequence[float], what: str) -> tuple[str, ...]:
    p50, p95 = quantile(delays, 0.5), quantile(delays, 0.95)
    return name, f"{p50:.2f}", f"{p95:.2f}", f"{len(delays)} {what}"
