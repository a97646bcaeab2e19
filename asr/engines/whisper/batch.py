"""The sequences that are decoded together, as the host sees them, and the slot of each."""

from __future__ import annotations

import itertools
from collections import abc, deque
from dataclasses import dataclass

from asr.engines.whisper.capacity import CapacityPlan
from asr.engines.whisper.cuda_graphs import Graphs
from asr.engines.whisper.decoding.loops import CHECK_EVERY, loops
from asr.engines.whisper.model.alignment import AlignmentInputs
from asr.engines.whisper.model.cross_attention import CrossAttention
from asr.engines.whisper.model.transfer import HostCopy
from asr.engines.whisper.runner import DecodeShape, ModelRunner, decode, prefill, rewind
from asr.engines.whisper.sequence import Sequence, SequenceStatus


@dataclass(frozen=True)
class TokenCopy:
    """The tokens of one launch, on their way to the host."""

    sequences: abc.Sequence[Sequence]
    values: HostCopy  # of a prefill [4 or more, sequences]; else [steps, 2, sequences or more]

    def numbers(self) -> list[list[list[float]]]:
        """Wait for them → steps of [kinds][sequences]."""
        values = self.values.wait()
        numbers: list[list[list[float]]] = (values if values.ndim == 3 else values[None]).tolist()
        return numbers


class RunningBatch:
    """Keeps sequences in the first slots without a gap, and reads what is decoded of them."""

    def __init__(self, runner: ModelRunner, plan: CapacityPlan) -> None:
        self.plan = plan
        self._runner = runner
        self._slots: list[Sequence | None] = [None] * runner.cache.count
        self._copies: deque[TokenCopy] = deque()
        self._graphs = Graphs(runner, plan) if plan.buckets and _is_gpu(runner) else None

    @property
    def active(self) -> list[Sequence]:
        """The sequences that have a slot, by slot."""
        return [sequence for sequence in self._slots if sequence is not None]

    @property
    def free(self) -> int:
        return self._slots.count(None)

    @property
    def windows(self) -> CrossAttention:
        """The windows in the slots, as sequences attend to them."""
        return self._runner.cache.cross

    def give_back(self) -> None:
        """Give back the memory of the tokens' keys and values, when no sequence has a slot."""
        assert not self.active
        self._runner.cache.own_pages.give_back()

    def prepare(self) -> bool:
        """Capture one more shape of launch while nothing is decoded; whether more are left."""
        return self._graphs is not None and self._graphs.prepare()

    def make_room(self, count: int) -> int:
        """Return where so many free slots begin, for windows and then a prefill."""
        start = gap(self._slots, count)
        if start is None:
            self._close_gaps()
            start = len(self.active)
        return start

    def prefill(self, sequences: abc.Sequence[Sequence], start: int) -> None:
        """Give sequences the slots from `start` on, which have their windows; read openings."""
        try:
            for group in self._prefilled_together(sequences):
                self._prefill(group, start)
                start += len(group)
        except RuntimeError:
            for each in sequences:
                if each.status is SequenceStatus.DECODING:
                    self.release(each)
            raise

    def _prefilled_together(
        self, sequences: abc.Sequence[Sequence]
    ) -> abc.Iterator[abc.Sequence[Sequence]]:
        """Divide sequences: on a CPU numbers depend on how much an opening is padded."""
        if not self.plan.side_by_side:
            yield sequences
            return
        by_length = itertools.groupby(sequences, lambda each: len(each.opening.tokens))
        yield from (list(group) for _, group in by_length)

    def retry(self, sequence: Sequence, temperature: float, seed: int) -> Sequence:
        """Decode the window of a sequence that has just ended once more, in the same slot.

        The slot has the window's encoder output still, and keys and values of all tokens, until
        the next prefill or launch. So tokens that last are not read again.
        """
        fresh = sequence.retried(temperature, seed)
        if not fresh.lasting:
            self._prefill([fresh], sequence.slot)
            return fresh
        position = len(fresh.opening.tokens) + fresh.lasting - 1  # of the last one that lasts
        rewind(self._runner, sequence.slot, fresh.opening, fresh.tokens[-1], position)
        self._slots[sequence.slot] = fresh
        fresh.slot, fresh.reach = sequence.slot, position
        fresh.status = SequenceStatus.DECODING
        return fresh

    def _prefill(self, sequences: abc.Sequence[Sequence], start: int) -> None:
        """Prefill slots from `start` on, which have their windows."""
        values = prefill(self._runner, start, [sequence.opening for sequence in sequences])
        for slot, sequence in enumerate(sequences, start):
            self._slots[slot] = sequence
            sequence.slot, sequence.reach = slot, len(sequence.opening.tokens)
            sequence.status = SequenceStatus.DECODING
        self._copies.append(TokenCopy(sequences, HostCopy.of(values)))

    def decode(self) -> None:
        """Launch the decoding of every sequence's next tokens."""
        self._close_gaps()
        sequences = self.active
        if not sequences:
            return
        steps = self.plan.steps
        reach = max(sequence.reach for sequence in sequences) + steps
        shape = DecodeShape(
            rows=self.plan.rows(len(sequences)),
            length=self.plan.length(min(reach, self._runner.cache.positions)),
            samples=any(sequence.opening.temperature for sequence in sequences),
            aligns=any(sequence.opening.aligns for sequence in sequences),
        )
        if self._graphs is None:
            values = decode(self._runner, shape, steps, on_host=not _is_gpu(self._runner))
        else:
            values = self._graphs.decode(shape)
        for sequence in sequences:
            sequence.reach += steps
        self._copies.append(TokenCopy(sequences, HostCopy.of(values)))

    def collect(self) -> list[Sequence]:
        """Read all launches but those that may still be under way; return whose tokens came."""
        news: dict[Sequence, None] = {}  # in order, each once
        while len(self._copies) > self.plan.lookahead:
            news.update(dict.fromkeys(self._read(self._copies.popleft())))
        if not self.active:
            self._copies.clear()
        return list(news)

    def _read(self, copy: TokenCopy) -> list[Sequence]:
        """Take over the tokens of one launch; return the sequences that had not ended before."""
        end, decoding = self._runner.rules.end_of_text, SequenceStatus.DECODING
        alive = [(row, each) for row, each in enumerate(copy.sequences) if each.status is decoding]
        if not alive:
            return []
        for tokens, logprobs, *prefilled in copy.numbers():
            for row, sequence in alive:
                if sequence.status is not decoding:
                    continue
                sequence.tokens.append(int(tokens[row]))
                sequence.logprobs.append(logprobs[row])
                if prefilled:
                    self._take_prefill(sequence, [kind[row] for kind in prefilled])
                has_overflowed = logprobs[row] != logprobs[row]  # not a number
                is_full = len(sequence.tokens) >= sequence.limit
                has_ended = sequence.tokens[-1] == end or is_full or has_overflowed
                if has_ended or len(sequence.tokens) % CHECK_EVERY == 0:
                    sequence.is_loop = self._loops(sequence)
                if has_ended or sequence.is_loop:
                    self.release(sequence)
        return [sequence for _, sequence in alive]

    def _loops(self, sequence: Sequence) -> bool:
        if not sequence.stops_loops:
            return False
        return loops(sequence.tokens, self._runner.vocabulary, sequence.window.seconds)

    def _take_prefill(self, sequence: Sequence, prefilled: abc.Sequence[float]) -> None:
        """Take over what a prefill computes beside the first token."""
        language, sequence.no_speech_prob, *probabilities = prefilled
        if sequence.opening.lacks_language:
            sequence.language = int(language)
            known = self._runner.vocabulary.languages.values()
            allowed = sequence.opening.languages or known
            sequence.language_probs = {
                token: probability
                for token, probability in zip(known, probabilities, strict=True)
                if token in allowed
            }

    def release(self, sequence: Sequence) -> None:
        """End a sequence and free its slot; what is still decoded of it is ignored."""
        sequence.status = SequenceStatus.ENDED
        self._slots[sequence.slot] = None

    def alignment_inputs(self, sequence: Sequence, frames: int) -> AlignmentInputs:
        """Return queries and keys of the alignment heads, of a sequence that has just ended.

        Behind a prefix, or without one but without times, rows of the opening come first.

        They are lost as soon as its slot is taken: with the next prefill or launch.
        """
        opening = sequence.opening
        last = len(opening.tokens) - 1  # whose query the first token was decoded from
        positions = range(last - opening.aligned, last + len(sequence.tokens))
        heads = self._runner.weights.decoder.aligning
        return self._runner.cache.alignment_inputs(sequence.slot, positions, frames, heads)

    def _close_gaps(self) -> None:
        for source, target in moves(self._slots):
            sequence = self._slots[source]
            assert sequence is not None
            length = min(sequence.reach, self._runner.cache.positions)
            self._runner.move(source, target, length)
            self._slots[source], self._slots[target] = None, sequence
            sequence.slot = target


def gap(slots: abc.Sequence[Sequence | None], count: int) -> int | None:
    """Return where the first `count` free slots in a row begin; None without them."""
    run = 0
    for slot, sequence in enumerate(slots):
        run = run + 1 if sequence is None else 0
        if run == count:
            return slot - count + 1
    return None


def moves(slots: abc.Sequence[Sequence | None]) -> list[tuple[int, int]]:
    """Return which slots move where, (source, target), so that the taken ones come first."""
    taken = [slot for slot, sequence in enumerate(slots) if sequence is not None]
    holes = [slot for slot in range(len(taken)) if slots[slot] is None]
    return list(zip(taken[len(taken) - len(holes) :], holes, strict=True))


def _is_gpu(runner: ModelRunner) -> bool:
    return bool(runner.cache.own.is_cuda)
