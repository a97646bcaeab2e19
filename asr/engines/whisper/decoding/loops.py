"""Find text that goes on for longer than anybody can speak in its window: loops, and rambles."""

from __future__ import annotations

from collections.abc import Sequence

from asr.engines.whisper.decoding.tokens import TIME_PRECISION, Vocabulary

# A loop is a text that repeats itself faster than anybody speaks. The number of repeats is not
# enough: somebody may have said the same sentence ten times.
LONGEST_UNIT = 32  # A loop repeats at most so many tokens.
FEWEST_REPEATS = 6  # A loop repeats them at least so often.
SHORTEST_LOOP = 32  # A loop has at least so many tokens in total.
SHORTEST_LOOP_OF_ALL = 16  # The same, in a window of which they are more than can be said.
SPOKEN_TOKENS = 10  # Speech has fewer tokens a second: fast speech has about six.
CHECK_EVERY = 16  # A text is checked for loops after each so many tokens.

# A longer text ends its attempt. Burmese and Thai have the most bytes of UTF-8, some 70 a second of
# fast speech; English, Greek and Russian have 20 to 40. A token has at least one.
BASE_BYTES = 32  # The shortest window may have so many bytes.
BYTES_PER_SECOND = 100  # Each second adds so many.


def most_tokens(seconds: float) -> int:
    """Return how many tokens, timestamps included, a window of `seconds` may have."""
    return BASE_BYTES + round(BYTES_PER_SECOND * seconds)


def loops(tokens: Sequence[int], vocabulary: Vocabulary, seconds: float) -> bool:
    """Return whether a text ends in a loop; timestamps between the words are ignored.

    A text that is longer than anybody can say is one, too, because it would not end either.

    Args:
        tokens: what is decoded so far of a window of `seconds`.
    """
    text: list[int] = []
    since: list[float] = []  # the time before each token of the text
    latest, closed = 0.0, 0  # the last time, and the text before it
    for token in tokens:
        if token >= vocabulary.first_timestamp:
            latest = (token - vocabulary.first_timestamp) * TIME_PRECISION
            closed = len(text)
        elif token < vocabulary.end_of_text:
            text.append(token)
            since.append(latest)
    most, has_ended = most_tokens(seconds), vocabulary.end_of_text in tokens[-1:]
    if vocabulary.bytes_of(text) > most or (len(tokens) >= most and not has_ended):
        return True
    shortest = min(SHORTEST_LOOP, max(SHORTEST_LOOP_OF_ALL, SPOKEN_TOKENS * seconds))
    for size in range(1, min(LONGEST_UNIT, len(text) // FEWEST_REPEATS) + 1):
        length = _repeated(text, size)
        if length < max(shortest, FEWEST_REPEATS * size):
            continue
        start = since[-length]
        timed = length - (len(text) - closed)  # of the loop, what lies before the last time
        is_rushed = timed >= shortest and timed > SPOKEN_TOKENS * (latest - start)
        if is_rushed or length > SPOKEN_TOKENS * (seconds - start):
            return True
    return False


def _repeated(text: Sequence[int], size: int) -> int:
    """Return how many tokens at the end of `text` repeat `size` tokens."""
    length = size
    while length < len(text) and text[-1 - length] == text[size - 1 - length]:
        length += 1
    return length
