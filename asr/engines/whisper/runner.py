"""The model on its device: prefill and decode of the slots, without waiting for the host.

Row i of a launch is the sequence in slot i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from asr.engines.whisper.decoding.logits import (
    LogitsRules,
    TimestampState,
    choose,
    constrain,
    constrain_first,
)
from asr.engines.whisper.decoding.sampling import SamplingState
from asr.engines.whisper.decoding.tokens import Vocabulary
from asr.engines.whisper.model import forward
from asr.engines.whisper.model.kv_cache import KVCache
from asr.engines.whisper.model.transfer import to_device
from asr.engines.whisper.model.weights import Linear, Weights, linear

UNDETECTED = -1  # In an opening this stands for the language that the model is to detect.


@dataclass(frozen=True)
class Opening:
    """The tokens before a sequence's text, and how the text is to be decoded."""

    tokens: tuple[int, ...]  # prompt, start of transcript, language, task, no timestamps, prefix
    start: int  # where the start of transcript stands
    is_timed: bool
    temperature: float
    prefix: tuple[int, ...] = ()  # the last of `tokens`: of the text, and known
    seed: int = 0  # of sampling at the temperature
    languages: tuple[int, ...] = ()  # tokens that may be detected; none: all
    aligns: bool = False  # Its words are to be timed.

    @property
    def lacks_language(self) -> bool:
        return UNDETECTED in self.tokens

    @property
    def aligned(self) -> int:
        """How many of `tokens`, at the end, are aligned together with what is decoded.

        The first row of an alignment is not used. It is a time, or else one token more.
        """
        return 0 if self.is_timed else len(self.prefix) + 1


class DecodeShape(NamedTuple):
    """How much one launch of `decode` computes; a CUDA graph is good for one shape."""

    rows: int  # the first slots, so many
    length: int  # positions of the caches that are read; more than any that is reached
    samples: bool  # A row may have a temperature.
    aligns: bool  # A row's words may have to be timed.


@dataclass(frozen=True)
class Heads:
    """The projections from hidden states to logits; their bias forbids tokens at no cost."""

    plain: Linear  # for probabilities of languages and no speech
    first: Linear  # for the first token of a text
    later: Linear

    @classmethod
    def of(cls, weights: Weights, rules: LogitsRules) -> Heads:
        head = weights.decoder.head
        return cls(
            plain=head,
            first=replace(head, bias=rules.suppressed_first),
            later=replace(head, bias=rules.suppressed),
        )


@dataclass(frozen=True)
class State:
    """What the device knows of each slot's sequence; all tensors are [slots]."""

    tokens: torch.Tensor  # int64: decoded last, not yet read by the decoder
    positions: torch.Tensor  # int64: of that token
    temperatures: torch.Tensor  # float32
    seeds: torch.Tensor  # int64
    timestamps: TimestampState

    @classmethod
    def blank(cls, count: int, rules: LogitsRules, device: torch.device) -> State:
        return cls(
            torch.full((count,), rules.end_of_text, device=device),
            torch.zeros(count, dtype=torch.int64, device=device),
            torch.zeros(count, device=device),
            torch.zeros(count, dtype=torch.int64, device=device),
            TimestampState.blank(count, rules, device),
        )

    @property
    def tensors(self) -> list[torch.Tensor]:
        own = [self.tokens, self.positions, self.temperatures, self.seeds]
        return [*own, *self.timestamps.tensors]

    def saved(self) -> list[torch.Tensor]:
        return [tensor.clone() for tensor in self.tensors]

    def restore(self, saved: Sequence[torch.Tensor]) -> None:
        """Go back to a saved state.

        The caches may stay as they are: what lies beyond a row's position is overwritten.
        """
        for tensor, before in zip(self.tensors, saved, strict=True):
            tensor.copy_(before)

    def sampling(self, rows: slice, positions: torch.Tensor) -> SamplingState:
        """Return what decides the next tokens of rows, at `positions`."""
        return SamplingState(self.temperatures[rows], self.seeds[rows], positions)


@dataclass(frozen=True)
class ModelRunner:
    """The model, its caches and its state: all that the device needs to decode."""

    weights: Weights
    heads: Heads
    rules: LogitsRules
    vocabulary: Vocabulary
    languages: torch.Tensor  # [languages]: their tokens
    cache: KVCache
    state: State

    @classmethod
    def assemble(
        cls,
        weights: Weights,
        rules: LogitsRules,
        vocabulary: Vocabulary,
        slots: int,
        keeps_encoder_output: bool = False,
    ) -> ModelRunner:
        return cls(
            weights,
            Heads.of(weights, rules),
            rules,
            vocabulary,
            torch.tensor(list(vocabulary.languages.values()), device=weights.device),
            KVCache.allocate(weights, slots, keeps_encoder_output),
            State.blank(slots, rules, weights.device),
        )

    def move(self, source: int, target: int, length: int) -> None:
        """Move a sequence of `length` positions to another slot."""
        self.cache.move(source, target, length)
        for tensor in self.state.tensors:
            tensor[target] = tensor[source]


def prefill(runner: ModelRunner, start: int, openings: Sequence[Opening]) -> torch.Tensor:
    """Read the openings of the slots from `start` on, whose windows are stored.

    Returns:
        [4, rows], float32: first token, its logprob, the language's token where it was detected,
        no_speech_prob. Where any language was detected, each language's probability follows:
        [4 + languages, rows].
    """
    state, rules = runner.state, runner.rules
    device = state.tokens.device
    count, longest = len(openings), max(len(opening.tokens) for opening in openings)
    padded = [[*o.tokens, *[0] * (longest - len(o.tokens))] for o in openings]
    tokens = to_device(padded, device)  # [n, L]
    lengths = to_device([len(opening.tokens) for opening in openings], device)
    starts = to_device([opening.start for opening in openings], device)
    languages = torch.zeros(count, device=device)
    probabilities = torch.zeros(0, count, device=device)
    if any(opening.lacks_language for opening in openings):
        languages, probabilities = detect_languages(runner, start, openings)
        tokens = torch.where(tokens == UNDETECTED, languages[:, None], tokens)
    aligns = any(opening.aligns and not opening.is_timed for opening in openings)
    hidden = forward.prefill(runner.weights, runner.cache, start, tokens, aligns)  # [n, L, D]
    each = torch.arange(count, device=device)
    at_start = linear(hidden[each, starts], runner.heads.plain).float()  # [n, vocabulary]
    no_speech_probs = at_start.softmax(dim=1)[:, runner.vocabulary.no_speech]
    scores = _first_scores(runner, hidden[each, lengths - 1], openings)
    rows = slice(start, start + count)
    timestamps = state.timestamps[rows]
    timestamps.is_timed.copy_(to_device([opening.is_timed for opening in openings], device))
    constrain_first(scores, timestamps.is_timed, rules)
    state.temperatures[rows] = to_device([opening.temperature for opening in openings], device)
    state.seeds[rows] = to_device([opening.seed for opening in openings], device)
    samples = any(opening.temperature for opening in openings)
    chosen, logprobs = choose(scores, state.sampling(rows, lengths) if samples else None)
    state.tokens[rows] = chosen
    state.positions[rows] = lengths
    timestamps.begin(chosen, rules)
    beside = torch.stack([chosen.float(), logprobs, languages.float(), no_speech_probs])
    return torch.cat([beside, probabilities])


def _first_scores(
    runner: ModelRunner, hidden: torch.Tensor, openings: Sequence[Opening]
) -> torch.Tensor:
    """Score the tokens to decode first, [rows, vocabulary], by hidden states [rows, D].

    Behind a prefix the text may end, or a space come.
    """
    goes_on = [bool(opening.prefix) for opening in openings]
    if all(goes_on):
        return linear(hidden, runner.heads.later).float()
    scores = linear(hidden, runner.heads.first).float()
    if not any(goes_on):
        return scores
    later = linear(hidden, runner.heads.later).float()
    return torch.where(to_device(goes_on, hidden.device)[:, None], later, scores)


def rewind(runner: ModelRunner, slot: int, opening: Opening, token: int, position: int) -> None:
    """Go on in a slot after `token`, a segment's end timestamp, which it decoded at `position`.

    What its caches have beyond is overwritten.
    """
    state = runner.state
    state.tokens[slot] = token
    state.positions[slot] = position
    state.temperatures[slot] = opening.temperature
    state.seeds[slot] = opening.seed
    state.timestamps.is_time[slot] = True
    state.timestamps.was_time[slot] = False  # A text is between them.
    state.timestamps.latest[slot] = token


def detect_languages(
    runner: ModelRunner, start: int, openings: Sequence[Opening]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each row's likeliest language, [rows], and all probabilities, [languages, rows].

    The probability of a language that an opening rules out is zero.
    """
    device, known = runner.state.tokens.device, runner.vocabulary.languages.values()
    shape = (len(openings), 1)
    opening = torch.full(shape, runner.vocabulary.start_of_transcript, device=device)
    hidden = forward.prefill(runner.weights, runner.cache, start, opening)  # [n, 1, D]
    scores = linear(hidden[:, 0], runner.heads.plain)[:, runner.languages].float()
    if any(opening.languages for opening in openings):
        allowed = [[not o.languages or token in o.languages for token in known] for o in openings]
        scores.masked_fill_(~to_device(allowed, device), -torch.inf)  # [n, languages]
    return runner.languages[scores.argmax(dim=1)], scores.softmax(dim=1).T


def decode(
    runner: ModelRunner, shape: DecodeShape, steps: int, on_host: bool = False
) -> torch.Tensor:
    """Decode `steps` tokens of each row; nothing here waits for the device.

    Args:
        on_host: there is no device to wait for, and no graph is captured.

    Returns:
        [steps, 2, rows], float32 (exact for any token): tokens and their logprobs.
    """
    rows, length, samples, aligns = shape
    state, rules = runner.state, runner.rules
    tokens, positions = state.tokens[:rows], state.positions[:rows]
    timestamps = state.timestamps[:rows]
    decoded = []
    for _ in range(steps):
        hidden = forward.decode(runner.weights, runner.cache, tokens, positions, length, aligns)
        scores = linear(hidden, runner.heads.later).float()  # [rows, vocabulary]
        constrain(scores, timestamps, rules, on_host)
        sampling = state.sampling(slice(rows), positions + 1) if samples else None
        chosen, logprobs = choose(scores, sampling, on_host)
        timestamps.add(chosen, rules)
        tokens.copy_(chosen)
        positions.add_(1).clamp_(max=runner.cache.positions - 1)  # rows past their end stay
        decoded.append(torch.stack([chosen.float(), logprobs]))
    return torch.stack(decoded)
