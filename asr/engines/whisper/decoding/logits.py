"""Forbid tokens that may not come next: suppressed ones, and by Whisper's timestamp rules.

The rules are those of openai/whisper's decoding.py, as Transformers' logits processors apply
them: times come in pairs and never go back, the first token is a time, and a time comes
where all times together are likelier than any one word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from asr.engines.whisper.decoding.sampling import SamplingState, sample
from asr.engines.whisper.decoding.tokens import Vocabulary


@dataclass(frozen=True)
class LogitsRules:
    """The tokens that one checkpoint forbids."""

    end_of_text: int
    no_timestamps: int
    last_initial_timestamp: int | None  # the latest time that may come first
    suppressed: torch.Tensor  # [vocabulary]: -inf where a token never comes, else 0
    suppressed_first: torch.Tensor  # [vocabulary]: likewise, for the first token

    @property
    def first_timestamp(self) -> int:
        return self.no_timestamps + 1

    @classmethod
    def of(
        cls, generation_config: Any, vocabulary: Vocabulary, size: int, like: torch.Tensor
    ) -> LogitsRules:
        """Read the rules from `generation_config`, for `size` tokens, typed as `like`."""
        latest = getattr(generation_config, "max_initial_timestamp_index", None)
        never = _forbidding(generation_config.suppress_tokens, size, like)
        return cls(
            end_of_text=vocabulary.end_of_text,
            no_timestamps=vocabulary.no_timestamps,
            last_initial_timestamp=None if latest is None else vocabulary.first_timestamp + latest,
            suppressed=never,
            suppressed_first=never
            + _forbidding(generation_config.begin_suppress_tokens, size, like),
        )


@dataclass(frozen=True)
class TimestampState:
    """What the rules need to know of each row's text; all tensors are [slots]."""

    is_timed: torch.Tensor  # bool: timestamps are asked for
    is_time: torch.Tensor  # bool: the last token is a time
    was_time: torch.Tensor  # bool: so is the one before, or there is none
    latest: torch.Tensor  # int64: the last time; before any, the id before `<|0.00|>`

    @classmethod
    def blank(cls, count: int, rules: LogitsRules, device: torch.device) -> TimestampState:
        def flags() -> torch.Tensor:
            return torch.zeros(count, dtype=torch.bool, device=device)

        latest = torch.full((count,), rules.no_timestamps, device=device)
        return cls(flags(), flags(), flags(), latest)

    def __getitem__(self, rows: slice) -> TimestampState:
        """Return views of some rows: changes of them are changes of these tensors."""
        return TimestampState(*(tensor[rows] for tensor in self.tensors))

    @property
    def tensors(self) -> list[torch.Tensor]:
        return [self.is_timed, self.is_time, self.was_time, self.latest]

    def begin(self, tokens: torch.Tensor, rules: LogitsRules) -> None:
        """Note each row's first token, [rows]."""
        self.is_time.copy_(tokens >= rules.first_timestamp)
        self.was_time.fill_(True)
        self.latest.copy_(torch.where(self.is_time, tokens, rules.no_timestamps))

    def add(self, tokens: torch.Tensor, rules: LogitsRules) -> None:
        """Note each row's next token, [rows]."""
        self.was_time.copy_(self.is_time)
        self.is_time.copy_(tokens >= rules.first_timestamp)
        self.latest.copy_(torch.where(self.is_time, tokens, self.latest))


def constrain_first(scores: torch.Tensor, is_timed: torch.Tensor, rules: LogitsRules) -> None:
    """Forbid, in place, what may not be a row's first token; scores are [rows, vocabulary]."""
    timed = is_timed[:, None]
    scores[:, : rules.first_timestamp].masked_fill_(timed, -torch.inf)
    if rules.last_initial_timestamp is not None:
        scores[:, rules.last_initial_timestamp + 1 :].masked_fill_(timed, -torch.inf)


def constrain(
    scores: torch.Tensor, timestamps: TimestampState, rules: LogitsRules, on_host: bool = False
) -> None:
    """Forbid, in place, what may not follow.

    Args:
        scores: [rows, vocabulary], float32.
        on_host: the host may look at numbers, as on a CPU: what forbids nothing is left out.
    """
    if on_host and not timestamps.is_timed.any():
        return
    timed = timestamps.is_timed[:, None]  # [rows, 1]
    is_time, was_time = timestamps.is_time[:, None], timestamps.was_time[:, None]
    opens = timed & is_time & ~was_time  # half a pair is there: a time or the end follows
    closes = timed & is_time & was_time  # a pair is complete: text follows, or the end
    words = scores[:, : rules.end_of_text]
    marks = scores[:, rules.end_of_text : rules.first_timestamp]
    times = scores[:, rules.first_timestamp :]
    scores[:, rules.no_timestamps].masked_fill_(timestamps.is_timed, -torch.inf)
    earliest = timestamps.latest[:, None] + ~opens  # only half a pair may repeat its time
    ids = torch.arange(rules.first_timestamp, scores.shape[1], device=scores.device)
    times.masked_fill_(closes | (timed & (ids < earliest)), -torch.inf)
    best_mark = marks.amax(dim=1, keepdim=True)
    best_text = torch.where(opens, best_mark, torch.maximum(best_mark, _best(words)))
    is_likelier = timed & (times.logsumexp(dim=1, keepdim=True) > best_text)
    is_time_next = opens | is_likelier
    if not on_host or is_time_next.any():
        words.masked_fill_(is_time_next, -torch.inf)
    marks.masked_fill_(is_likelier, -torch.inf)


def choose(
    scores: torch.Tensor, sampling: SamplingState | None, on_host: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose tokens [rows], with logprobs [rows], by scores [rows, vocabulary], float32.

    Args:
        sampling: None where all rows take the likeliest token.
        on_host: NumPy may search, which takes a tenth of torch's time.
    """
    if sampling is not None:
        tokens = sample(scores, sampling)
    elif on_host:
        tokens = torch.from_numpy(scores.numpy().argmax(axis=1))
    else:
        tokens = scores.argmax(dim=1)
    logprobs = scores.log_softmax(dim=1).gather(1, tokens[:, None]).squeeze(1)
    return tokens, logprobs


def _best(scores: torch.Tensor) -> torch.Tensor:
    return scores.amax(dim=1, keepdim=True)


def _forbidding(tokens: Any, size: int, like: torch.Tensor) -> torch.Tensor:
    bias = torch.zeros(size, device=like.device, dtype=like.dtype)
    bias[[token for token in tokens or () if 0 <= token < size]] = -torch.inf
    return bias
