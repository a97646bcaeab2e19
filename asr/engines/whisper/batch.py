"""The windows in flight, as the host sees them: boarded, launched, landed, each slot accounted."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from asr.engines.engine import Window
from asr.engines.whisper.capacity import CapacityPlan
from asr.engines.whisper.checkpoint import Checkpoint
from asr.engines.whisper.cuda_graphs import Graphs, Shape
from asr.engines.whisper.decoding.fallback import LOOK_EVERY, loops
from asr.engines.whisper.model.alignment import AlignmentInputs
from asr.engines.whisper.model.transfer import HostCopy
from asr.engines.whisper.runner import UNDETECTED, ModelRunner, Opening, advance, begin
from asr.errors import TranscriptionFailed


@dataclass(eq=False)
class Row:
    """A window's place in flight, and what was heard of it so far."""

    opening: Opening
    limit: int  # tokens at most
    slot: int = -1
    reach: int = 0  # positions that launches have gone to; the host may not have read them yet
    tokens: list[int] = field(default_factory=list)  # end of text included
    likelihoods: list[float] = field(default_factory=list)  # the tokens' log-probabilities
    language: int | None = None  # the token of the language that was detected
    odds: dict[int, float] = field(default_factory=dict)  # language's token → probability
    silence: float = 0.0  # probability that nobody speaks
    seconds: float | None = None  # of the window, where a loop ends the row
    is_loop: bool = False
    is_done: bool = False

    @classmethod
    def of(cls, window: Window, checkpoint: Checkpoint, most: int) -> Row:
        """A window's, which has not been heard yet.

        Args:
            most: tokens of any row.

        Raises:
            AsrError: it cannot be heard at all.
        """
        if not np.isfinite(window.samples).all():
            raise TranscriptionFailed("the audio holds samples that are not finite numbers")
        longest = checkpoint.window_seconds
        if window.seconds > longest:
            raise TranscriptionFailed(f"a window of {window.seconds:g} s, the most is {longest:g}")
        options = window.options
        opening = checkpoint.opening(options)
        room = checkpoint.longest - len(opening.tokens)
        ends_loops = options.thresholds.compression_ratio is not None
        return cls(
            opening,
            limit=min(room, most, options.max_new_tokens or room),
            seconds=window.seconds if ends_loops else None,
        )


@dataclass(frozen=True)
class Reading:
    """What rows have written, on its way to the host."""

    rows: Sequence[Row]
    values: HostCopy  # begun: [4 or more, rows]; else [steps, 2, as many rows or more]

    def numbers(self) -> list[list[list[float]]]:
        """Wait for them → steps of [kinds][rows]."""
        values = self.values.arrived()
        numbers: list[list[list[float]]] = (values if values.ndim == 3 else values[None]).tolist()
        return numbers


class RunningBatch:
    """Keeps rows in the first slots without a gap, and tells what they have written."""

    def __init__(self, machine: ModelRunner, plan: CapacityPlan) -> None:
        self._machine = machine
        self._plan = plan
        self._rows: list[Row | None] = [None] * machine.slots.count
        self._readings: deque[Reading] = deque()
        self._graphs = Graphs(machine, plan) if plan.buckets and _is_gpu(machine) else None

    @property
    def active(self) -> list[Row]:
        return [row for row in self._rows if row is not None]

    @property
    def free(self) -> int:
        return self._rows.count(None)

    def prepare(self) -> bool:
        """Capture one more shape of launch while nothing is in flight; whether more are left."""
        return self._graphs is not None and self._graphs.prepare()

    def board(self, rows: Sequence[Row], encoded: torch.Tensor) -> None:
        """Give rows their slots, and the slots their windows, [rows, frames, width]."""
        start = gap(self._rows, len(rows))
        if start is None:
            self._close_gaps()
            start = len(self.active)
        self._machine.slots.cross.hear(start, encoded)
        self._begin(rows, start)

    def _begin(self, rows: Sequence[Row], start: int) -> None:
        """Begin rows in slots that have heard their windows."""
        values = begin(self._machine, start, [row.opening for row in rows])
        for slot, row in enumerate(rows, start):
            self._rows[slot] = row
            row.slot, row.reach = slot, len(row.opening.tokens)
        self._readings.append(Reading(rows, HostCopy.of(values)))

    def again(self, row: Row, temperature: float, seed: int) -> Row:
        """Write a row that has just ended once more: its slot has the window's sound still.

        That is lost as soon as the slot is taken: with the next rows that board, or a launch.
        """
        opening = replace(row.opening, temperature=temperature, seed=seed)
        if row.language is not None:
            heard = {UNDETECTED: row.language}
            tokens = tuple(heard.get(token, token) for token in opening.tokens)
            opening = replace(opening, tokens=tokens)
        fresh = Row(opening, row.limit, language=row.language, odds=row.odds, seconds=row.seconds)
        self._begin([fresh], row.slot)
        return fresh

    def launch(self) -> None:
        """Write the next tokens of every row."""
        self._close_gaps()
        rows = self.active
        if not rows:
            return
        steps = self._plan.steps
        count = self._plan.rows(len(rows))
        reach = max(row.reach for row in rows) + steps
        length = self._plan.length(min(reach, self._machine.slots.positions))
        samples = any(row.opening.temperature for row in rows)
        aligns = any(row.opening.aligns for row in rows)
        if self._graphs is None:
            values = advance(self._machine, count, length, steps, samples, aligns)
        else:
            values = self._graphs.advance(Shape(count, length, samples, aligns))
        for row in rows:
            row.reach += steps
        self._readings.append(Reading(rows, HostCopy.of(values)))

    def land(self) -> list[Row]:
        """Read all launches but those that may still be under way; rows with news."""
        news: dict[Row, None] = {}  # in order, each once
        while len(self._readings) > self._plan.lookahead:
            news.update(dict.fromkeys(self._read(self._readings.popleft())))
        if not self.active:
            self._readings.clear()
        return list(news)

    def _read(self, reading: Reading) -> list[Row]:
        """Take in what was written; the rows that took it in."""
        end = self._machine.rules.end_of_text
        alive = [(place, row) for place, row in enumerate(reading.rows) if not row.is_done]
        if not alive:
            return []
        for tokens, likelihoods, *begun in reading.numbers():
            for place, row in alive:
                if row.is_done:
                    continue
                row.tokens.append(int(tokens[place]))
                row.likelihoods.append(likelihoods[place])
                if begun:
                    self._open(row, [kind[place] for kind in begun])
                is_lost = likelihoods[place] != likelihoods[place]  # not a number
                has_ended = row.tokens[-1] == end or len(row.tokens) >= row.limit or is_lost
                if has_ended or len(row.tokens) % LOOK_EVERY == 0:
                    row.is_loop = self._loops(row)
                if has_ended or row.is_loop:
                    self.release(row)
        return [row for _, row in alive]

    def _loops(self, row: Row) -> bool:
        if row.seconds is None:
            return False
        return loops(row.tokens, self._machine.vocabulary, row.seconds)

    def _open(self, row: Row, begun: Sequence[float]) -> None:
        """Take in what was heard before the first token was written."""
        language, row.silence, *odds = begun
        if row.opening.lacks_language:
            row.language = int(language)
            known = self._machine.vocabulary.languages.values()
            allowed = row.opening.languages or known
            row.odds = {
                token: chance for token, chance in zip(known, odds, strict=True) if token in allowed
            }

    def release(self, row: Row) -> None:
        """Free the row's slot; what is still under way for it is ignored."""
        row.is_done = True
        self._rows[row.slot] = None

    def heard(self, row: Row, frames: int) -> AlignmentInputs:
        """What the alignment heads heard for each token of a row that has just ended.

        It is lost as soon as its slot is taken: with the next rows that board, or a launch.
        """
        first = len(row.opening.tokens) - 1  # whose query the first token was written from
        positions = range(first, first + len(row.tokens))
        heads = self._machine.weights.decoder.aligning
        return self._machine.slots.heard(row.slot, positions, frames, heads)

    def _close_gaps(self) -> None:
        for source, target in moves(self._rows):
            row = self._rows[source]
            assert row is not None
            length = min(row.reach, self._machine.slots.positions)
            self._machine.move(source, target, length)
            self._rows[source], self._rows[target] = None, row
            row.slot = target


def gap(rows: Sequence[Row | None], count: int) -> int | None:
    """The first of the lowest `count` free slots in a line; None where there is no such line."""
    run = 0
    for slot, row in enumerate(rows):
        run = run + 1 if row is None else 0
        if run == count:
            return slot - count + 1
    return None


def moves(rows: Sequence[Row | None]) -> list[tuple[int, int]]:
    """Which rows go where, (source, target), so that the taken slots come first."""
    taken = [slot for slot, row in enumerate(rows) if row is not None]
    holes = [slot for slot in range(len(taken)) if rows[slot] is None]
    return list(zip(taken[len(taken) - len(holes) :], holes, strict=True))


def _is_gpu(machine: ModelRunner) -> bool:
    return bool(machine.slots.own.is_cuda)
