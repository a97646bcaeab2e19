"""What may be written next is what Transformers' logits processors say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import GenerationConfig
from transformers.generation.logits_process import (
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)

from asr.engines.whisper.decoding.logits import (
    LogitsRules,
    TimestampState,
    choose,
    constrain,
    constrain_first,
)
from asr.engines.whisper.decoding.sampling import SamplingState
from asr.engines.whisper.decoding.tokens import Vocabulary

END, NO_TIMESTAMPS, SIZE = 60, 80, 111  # 30 times
FIRST = NO_TIMESTAMPS + 1
BEGIN = 3  # tokens of the opening
VOCABULARY = Vocabulary(
    start_of_transcript=61,
    end_of_text=END,
    start_of_previous=62,
    no_speech=79,
    no_timestamps=NO_TIMESTAMPS,
    tasks={},
    languages={},
)


def config(latest: int | None) -> GenerationConfig:
    return GenerationConfig(
        eos_token_id=END,
        bos_token_id=END,
        no_timestamps_token_id=NO_TIMESTAMPS,
        max_initial_timestamp_index=latest,
        suppress_tokens=[3, 5, 59, 62, 70, 200],
        begin_suppress_tokens=[7, END],
    )


def rules(latest: int | None = 10) -> LogitsRules:
    return LogitsRules.of(config(latest), VOCABULARY, SIZE, torch.zeros(0))


def expected(prefixes: torch.Tensor, logits: torch.Tensor, is_timed: bool, latest: int | None):
    """What the processors of `generate` leave of the logits, in their order."""
    settings = config(latest)
    opening = torch.full((len(prefixes), BEGIN), 61)
    tokens = torch.cat([opening, prefixes], dim=1)
    scores = SuppressTokensAtBeginLogitsProcessor([7, END], BEGIN)(tokens, logits)
    scores = SuppressTokensLogitsProcessor([3, 5, 59, 62, 70, 200])(tokens, scores)
    if is_timed:
        scores = WhisperTimeStampLogitsProcessor(settings, BEGIN)(tokens, scores)
    return scores


def found(prefixes: torch.Tensor, logits: torch.Tensor, is_timed: torch.Tensor, rule: LogitsRules):
    count, length = prefixes.shape
    timestamps = TimestampState.blank(count, rule, torch.device("cpu"))
    timestamps.is_timed.copy_(is_timed)
    if length == 0:
        scores = logits + rule.suppressed_first
        constrain_first(scores, timestamps.is_timed, rule)
        return scores
    timestamps.begin(prefixes[:, 0], rule)
    for column in prefixes[:, 1:].T:
        timestamps.add(column, rule)
    scores = logits + rule.suppressed
    constrain(scores, timestamps, rule)
    return scores


def random_prefixes(count: int, length: int) -> torch.Tensor:
    """Half of the tokens are times, a few are special ones."""
    kinds = torch.rand(count, length)
    words, times = torch.randint(0, END, (2, count, length))
    marks = torch.randint(END, FIRST, (count, length))
    tokens = torch.where(kinds < 0.5, times % (SIZE - FIRST) + FIRST, words)
    return torch.where(kinds > 0.95, marks, tokens)


@pytest.mark.parametrize("latest", [None, 0, 10])
@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("length", range(7))
def test_scores_equal_those_of_the_processors(
    latest: int | None, spread: float, length: int
) -> None:
    count = 200
    prefixes = random_prefixes(count, length)
    logits = spread * torch.randn(count, SIZE)
    is_timed = torch.rand(count) < 0.7  # rows that want times and rows that do not, in one batch
    scores = found(prefixes, logits, is_timed, rules(latest))
    for timed in (False, True):
        theirs = expected(prefixes[is_timed == timed], logits[is_timed == timed], timed, latest)
        assert torch.equal(scores[is_timed == timed], theirs)


def test_times_are_written_where_together_they_are_likelier_than_any_word() -> None:
    """Both outcomes occur among the cases above, and each is what it should be."""
    prefixes = torch.full((400, 1), 10)
    logits = 2 * torch.randn(400, SIZE)
    scores = found(prefixes, logits, torch.ones(400, dtype=torch.bool), rules())
    has_words = scores[:, :END].isfinite().any(dim=1)
    assert 0.05 < has_words.float().mean() < 0.95
    allowed = logits + rules().suppressed
    allowed[:, NO_TIMESTAMPS] = -torch.inf
    likelier = allowed[:, FIRST:].logsumexp(dim=1) > allowed[:, :FIRST].amax(dim=1)
    assert torch.equal(likelier, ~has_words)


def test_a_missing_suppression_list_forbids_nothing() -> None:
    settings = SimpleNamespace(suppress_tokens=None, begin_suppress_tokens=None)
    rule = LogitsRules.of(settings, VOCABULARY, SIZE, torch.zeros(0))
    assert not rule.suppressed.any()
    assert not rule.suppressed_first.any()
    assert rule.last_initial_timestamp is None


def test_a_row_without_temperature_takes_the_likeliest_token_whatever_its_neighbours_do() -> None:
    scores = torch.randn(64, SIZE)
    temperatures = torch.arange(64) % 2 * 1.5
    tokens, _ = choose(scores, SamplingState(temperatures, torch.arange(64), torch.arange(64)))
    greedy = temperatures == 0
    assert torch.equal(tokens[greedy], scores.argmax(dim=1)[greedy])
    assert not torch.equal(tokens[~greedy], scores.argmax(dim=1)[~greedy])


def test_log_probabilities_are_those_of_the_constrained_scores_at_temperature_one() -> None:
    scores = 3 * torch.randn(50, SIZE)
    scores[:, :10] = -torch.inf
    sampling = SamplingState(
        torch.full((50,), 0.7), torch.arange(50), torch.zeros(50, dtype=torch.int64)
    )
    tokens, logprobs = choose(scores, sampling)
    expected = scores.log_softmax(dim=1).gather(1, tokens[:, None])[:, 0]
    assert torch.allclose(logprobs, expected, atol=1e-5)


@pytest.mark.parametrize("timed", ["none", "some", "all"])
def test_a_host_that_looks_at_numbers_forbids_and_chooses_the_same(timed: str) -> None:
    rule = rules(None)
    for length in (1, 2, 5):
        prefixes, logits = random_prefixes(60, length), torch.randn(60, SIZE)
        is_timed = torch.full((60,), timed == "all")
        is_timed[::7] |= timed == "some"
        logits[3], logits[4, 9] = -torch.inf, torch.nan
        scores = []
        for on_host in (False, True):
            timestamps = TimestampState.blank(60, rule, torch.device("cpu"))
            timestamps.is_timed.copy_(is_timed)
            timestamps.begin(prefixes[:, 0], rule)
            for column in prefixes[:, 1:].T:
                timestamps.add(column, rule)
            scores.append(logits.clone())
            constrain(scores[-1], timestamps, rule, on_host)
        assert torch.equal(scores[0].nan_to_num(), scores[1].nan_to_num())
        chosen = [choose(scores[0], None, on_host) for on_host in (False, True)]
        for ours, theirs in zip(*chosen, strict=True):
            assert torch.equal(ours.nan_to_num(), theirs.nan_to_num())
