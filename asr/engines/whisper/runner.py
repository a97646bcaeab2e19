"""The decode loop on the device: rows in flight begin, advance and move, with no word to the host.

A row is a window that is being written; row i lives in slot i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from asr.engines.whisper.decoding.logits import (
    LogitsRules,
    Written,
    choose,
    constrain,
    constrain_first,
)
from asr.engines.whisper.decoding.sampling import SamplingState
from asr.engines.whisper.decoding.tokens import Vocabulary
from asr.engines.whisper.model import forward
from asr.engines.whisper.model.kv_cache import KVCache
from asr.engines.whisper.model.transfer import sent
from asr.engines.whisper.model.weights import Linear, Weights, linear

UNDETECTED = -1  # in an opening: the language that the model hears


@dataclass(frozen=True)
class Opening:
    """How one row begins."""

    tokens: tuple[int, ...]  # prompt, start of transcript, language, task, timestamps or none
    start: int  # where the start of transcript stands
    is_timed: bool
    temperature: float
    seed: int = 0  # of what is drawn at the temperature
    languages: tuple[int, ...] = ()  # tokens that may be detected; none: all
    aligns: bool = False  # whether its words are to be timed

    @property
    def lacks_language(self) -> bool:
        return UNDETECTED in self.tokens


@dataclass(frozen=True)
class Heads:
    """The way from hidden states to logits; the bias forbids tokens at no cost."""

    plain: Linear
    first: Linear
    later: Linear

    @classmethod
    def of(cls, weights: Weights, rules: LogitsRules) -> Heads:
        head = weights.decoder.head
        return cls(
            plain=head,
            first=Linear(head.weight, rules.suppressed_first, head.is_packed),
            later=Linear(head.weight, rules.suppressed, head.is_packed),
        )


@dataclass(frozen=True)
class State:
    """Where each row stands; all tensors are [slots]."""

    tokens: torch.Tensor  # int64: written last, not yet taken in
    positions: torch.Tensor  # int64: of that token
    temperatures: torch.Tensor  # float32
    seeds: torch.Tensor  # int64
    written: Written

    @classmethod
    def blank(cls, count: int, rules: LogitsRules, device: torch.device) -> State:
        return cls(
            torch.full((count,), rules.end_of_text, device=device),
            torch.zeros(count, dtype=torch.int64, device=device),
            torch.zeros(count, device=device),
            torch.zeros(count, dtype=torch.int64, device=device),
            Written.blank(count, rules, device),
        )

    @property
    def tensors(self) -> list[torch.Tensor]:
        own = [self.tokens, self.positions, self.temperatures, self.seeds]
        return [*own, *self.written.tensors]

    def saved(self) -> list[torch.Tensor]:
        return [tensor.clone() for tensor in self.tensors]

    def restore(self, saved: Sequence[torch.Tensor]) -> None:
        """Make undone what was written since.

        The caches need no care: what lies beyond a row's position is written again.
        """
        for tensor, before in zip(self.tensors, saved, strict=True):
            tensor.copy_(before)

    def chance(self, rows: slice, positions: torch.Tensor) -> SamplingState:
        """What decides the tokens that rows write next, at `positions`."""
        return SamplingState(self.temperatures[rows], self.seeds[rows], positions)


@dataclass(frozen=True)
class ModelRunner:
    """All that the device needs to write text."""

    weights: Weights
    heads: Heads
    rules: LogitsRules
    vocabulary: Vocabulary
    languages: torch.Tensor  # [languages]: their tokens
    slots: KVCache
    state: State

    @classmethod
    def assemble(
        cls,
        weights: Weights,
        rules: LogitsRules,
        vocabulary: Vocabulary,
        slots: int,
        keeps_whole: bool = False,
    ) -> ModelRunner:
        return cls(
            weights,
            Heads.of(weights, rules),
            rules,
            vocabulary,
            torch.tensor(list(vocabulary.languages.values()), device=weights.device),
            KVCache.allocate(weights, slots, keeps_whole),
            State.blank(slots, rules, weights.device),
        )

    def move(self, source: int, target: int, length: int) -> None:
        """Bring a row of `length` positions to another slot."""
        self.slots.move(source, target, length)
        for tensor in self.state.tensors:
            tensor[target] = tensor[source]


def begin(machine: ModelRunner, start: int, openings: Sequence[Opening]) -> torch.Tensor:
    """Take in the openings of the rows from `start` on, whose slots have heard their windows.

    Returns:
        [4, rows], float32: first token, its log-probability, the language's token where it was
        detected, the probability that nobody speaks. Where any language was detected, each
        language's probability follows: [4 + languages, rows].
    """
    state, rules = machine.state, machine.rules
    device = state.tokens.device
    count, longest = len(openings), max(len(opening.tokens) for opening in openings)
    padded = [[*o.tokens, *[0] * (longest - len(o.tokens))] for o in openings]
    tokens = sent(padded, device)  # [n, L]
    lengths = sent([len(opening.tokens) for opening in openings], device)
    starts = sent([opening.start for opening in openings], device)
    languages = torch.zeros(count, device=device)
    probabilities = torch.zeros(0, count, device=device)
    if any(opening.lacks_language for opening in openings):
        languages, probabilities = detect(machine, start, openings)
        tokens = torch.where(tokens == UNDETECTED, languages[:, None], tokens)
    hidden = forward.read(machine.weights, machine.slots, start, tokens)  # [n, L, D]
    each = torch.arange(count, device=device)
    opened = linear(hidden[each, starts], machine.heads.plain).float()  # [n, vocabulary]
    silence = opened.softmax(dim=1)[:, machine.vocabulary.no_speech]
    scores = linear(hidden[each, lengths - 1], machine.heads.first).float()
    rows = slice(start, start + count)
    written = state.written[rows]
    written.is_timed.copy_(sent([opening.is_timed for opening in openings], device))
    constrain_first(scores, written.is_timed, rules)
    state.temperatures[rows] = sent([opening.temperature for opening in openings], device)
    state.seeds[rows] = sent([opening.seed for opening in openings], device)
    samples = any(opening.temperature for opening in openings)
    chosen, likelihood = choose(scores, state.chance(rows, lengths) if samples else None)
    state.tokens[rows] = chosen
    state.positions[rows] = lengths
    written.begin(chosen, rules)
    begun = torch.stack([chosen.float(), likelihood, languages.float(), silence])
    return torch.cat([begun, probabilities])


def detect(
    machine: ModelRunner, start: int, openings: Sequence[Opening]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest language's token of each row, [rows], and all probabilities, [languages, rows].

    Languages that an opening rules out have none.
    """
    device, known = machine.state.tokens.device, machine.vocabulary.languages.values()
    shape = (len(openings), 1)
    opening = torch.full(shape, machine.vocabulary.start_of_transcript, device=device)
    hidden = forward.read(machine.weights, machine.slots, start, opening)  # [n, 1, D]
    scores = linear(hidden[:, 0], machine.heads.plain)[:, machine.languages].float()
    if any(opening.languages for opening in openings):
        allowed = [[not o.languages or token in o.languages for token in known] for o in openings]
        scores.masked_fill_(~sent(allowed, device), -torch.inf)  # [n, languages]
    return machine.languages[scores.argmax(dim=1)], scores.softmax(dim=1).T


def advance(
    machine: ModelRunner, rows: int, length: int, steps: int, samples: bool, aligns: bool
) -> torch.Tensor:
    """Write `steps` tokens in each of the first `rows` slots; nothing here waits for the device.

    Args:
        length: more than every position that is reached; how much of the caches is looked at.
        samples: whether any row has a temperature.
        aligns: whether any row's words are to be timed.

    Returns:
        [steps, 2, rows], float32 (exact for any token): tokens and their log-probabilities.
    """
    state, rules = machine.state, machine.rules
    tokens, positions = state.tokens[:rows], state.positions[:rows]
    written = state.written[:rows]
    found = []
    for _ in range(steps):
        hidden = forward.write(machine.weights, machine.slots, tokens, positions, length, aligns)
        scores = linear(hidden, machine.heads.later).float()  # [rows, vocabulary]
        constrain(scores, written, rules)
        chance = state.chance(slice(rows), positions + 1) if samples else None
        chosen, likelihood = choose(scores, chance)
        written.add(chosen, rules)
        tokens.copy_(chosen)
        positions.add_(1).clamp_(max=machine.slots.positions - 1)  # rows past their end stay
        found.append(torch.stack([chosen.float(), likelihood]))
    return torch.stack(found)
