"""A short window is heard again behind what was said before it."""

import numpy as np
import pytest

from asr.engines.engine import Window, WindowResult
from asr.live.decoding.context import CONTEXT_SECONDS, SHORT_SECONDS, SpokenContext, own_part
from asr.live.options import LiveOptions
from asr.live.utterance import LiveUtterance, Take
from asr.options import Options
from asr.pcm import SAMPLE_RATE
from asr.transcript import Segment, TokenLogprob, Word


def take_at(seconds: float, length: float = 1.0, language: str = "en", **asked) -> Take:
    """Return a complete window of an utterance that begins so many seconds after the start."""
    start = round(seconds * SAMPLE_RATE)
    utterance = LiveUtterance(LiveOptions(options=Options(**asked)), start, language=language)
    take = Take(utterance, start, 32 * SAMPLE_RATE)
    take.extend(np.full(round(length * SAMPLE_RATE), seconds + 1, np.float32))
    take.complete(take.end, is_last=True)
    return take


def window_of(take: Take) -> Window:
    return Window(take.samples, take.start / SAMPLE_RATE, take.utterance.options.options)


def context_of(*takes: Take) -> SpokenContext:
    context = SpokenContext()
    for number, take in enumerate(takes):
        context.add(take, f" w{number}")
    return context


def test_a_window_stands_behind_what_was_said_at_its_own_time():
    context, last = context_of(take_at(0.5), take_at(2.0)), take_at(3.5)
    joined, text = context.joined(window_of(last), last, "en")
    assert text == " w0 w1"
    assert (joined.start, joined.seconds, joined.options.language) == (0.5, 4.0, "en")
    at = [joined.samples[round(s * SAMPLE_RATE)] for s in (0.2, 1.2, 1.7, 2.7, 3.2)]
    assert at == [1.5, 0, 3.0, 0, 4.5]


@pytest.mark.parametrize(
    "last",
    [
        take_at(2.0, SHORT_SECONDS + 0.1),
        take_at(2.0 + CONTEXT_SECONDS),
        take_at(2.0, language="es"),
        take_at(2.0, prompt="other options"),
    ],
    ids=["long", "late", "of another language", "with other options"],
)
def test_what_does_not_belong_to_a_window_is_no_context(last):
    context = context_of(take_at(0.0))
    assert context.joined(window_of(last), last, last.utterance.language) is None


def test_a_window_of_unknown_language_has_that_of_what_was_said_last():
    context = context_of(take_at(0.0, language="fr"), take_at(1.0), take_at(2.0))
    last = take_at(3.0)
    joined, text = context.joined(window_of(last), last, None)
    assert (text, joined.options.language, joined.start) == (" w1 w2", "en", 1.0)
    assert context.joined(window_of(last), last, "fr")[1] == " w0"


def test_memory_is_bounded():
    context = context_of(*(take_at(2.0 * n, 2.0) for n in range(100)))
    assert 0 < context.held <= CONTEXT_SECONDS * 64_000
    context.add(take_at(300.0, 30.0), " long")
    assert context.held == 0


def result(take: Take, context: float, *words: tuple[str, float, float]) -> WindowResult:
    """Return a result of a window that begins so many seconds before a take's own."""
    start = take.start / SAMPLE_RATE - context
    samples = np.zeros(round(context * SAMPLE_RATE) + len(take.samples), np.float32)
    found = tuple(Word(*word) for word in words)
    tokens = tuple(TokenLogprob(word.text.encode(), -0.1 * n) for n, word in enumerate(found))
    text = "".join(word.text for word in found)
    segment = Segment(found[0].start, found[-1].end, text, found, token_logprobs=tokens)
    return WindowResult(Window(samples, start), (segment,), "en")


def test_its_own_words_are_those_behind_the_silence_with_its_own_times():
    take = take_at(10.0)
    words = (" uno", 0.1, 0.5), (" más", 1.2, 1.5), (" dos", 1.85, 2.3), (" tres", 2.4, 2.8)
    own = own_part(result(take, 2.0, *words), take)
    assert (own.window.start, own.window.seconds) == (10.0, 1.0)
    [segment] = own.segments
    assert segment.text == " dos tres"
    assert [token.data for token in segment.token_logprobs] == [b" dos", b" tres"]
    times = [(word.start, word.end) for word in segment.words]
    assert np.allclose(times, [(0.0, 0.3), (0.4, 0.8)])


def test_a_result_without_own_words_is_empty_and_one_without_context_stays():
    take = take_at(10.0)
    assert own_part(result(take, 2.0, (" uno", 0.1, 0.5)), take).segments == ()
    alone = result(take, 0.0, (" uno", 0.1, 0.5))
    assert own_part(alone, take) is alone
