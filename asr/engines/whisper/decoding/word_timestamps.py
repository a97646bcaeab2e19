"""Make words of a segment's tokens, as openai/whisper does, each with its times."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import exp
from statistics import fmean, median
from string import punctuation

from asr.engines.whisper.model.alignment import Alignment, AlignmentInputs, Stretch, Times, align
from asr.transcript import Segment, Word

UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})  # These put no space between words.
OPENING = frozenset("\"'“¿([{-")  # After a space these belong to the next word.
CLOSING = frozenset("\"'.。,，!！?？:：”)]}、")  # noqa: RUF001 - These belong to the word before.
MARKS = frozenset(punctuation)  # These begin a word.
HIGHEST_MEDIAN = 0.7  # A longer median of the words counts as this, in seconds.
LONGEST_MEDIANS = 2  # A word beside a pause lasts at most so many medians.


@dataclass(frozen=True)
class Spelling:
    """A word, and the places of its tokens in its segment."""

    text: str
    places: range

    def __add__(self, other: Spelling) -> Spelling:
        return Spelling(self.text + other.text, range(self.places.start, other.places.stop))


def spellings(tokens: Sequence[bytes], language: str | None) -> list[Spelling]:
    """Split a text into words; joined, they are the text.

    No word is blank unless the whole text is.

    Args:
        tokens: the bytes of each token, UTF-8.
        language: code of the text.
    """
    words: list[Spelling] = []
    lead: Spelling | None = None  # belongs to what follows
    for part in _letters(tokens):
        begins = language in UNSPACED or part.text.startswith(" ") or _is_of(part, MARKS)
        if _leads(part):
            lead = lead + part if lead else part
        elif lead:
            words.append(lead + part)
            lead = None
        elif words and (not begins or _is_of(part, CLOSING)):
            words[-1] += part
        else:
            words.append(part)
    if lead:
        words[-1:] = [words[-1] + lead] if words else [lead]
    return words


def _letters(tokens: Sequence[bytes]) -> Iterator[Spelling]:
    """Yield tokens, joined where they share a letter."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, first = "", 0
    for place, token in enumerate(tokens):
        is_last = place == len(tokens) - 1
        text += decoder.decode(token, is_last)
        if is_last or not decoder.getstate()[0]:
            yield Spelling(text, range(first, place + 1))
            text, first = "", place + 1


def _leads(part: Spelling) -> bool:
    return not part.text.strip() or (part.text.startswith(" ") and _is_of(part, OPENING))


def _is_of(part: Spelling, letters: frozenset[str]) -> bool:
    return letters.issuperset(part.text.strip())


@dataclass(frozen=True)
class Timing:
    """One window's segments, while the device computes the times of their words."""

    segments: Sequence[Segment]  # with their tokens' logprobs
    alignment: Alignment
    language: str | None  # code of the text
    prefix: Sequence[bytes] = ()  # the tokens of the text before the first segment

    def finish(self) -> tuple[Segment, ...]:
        """Wait for the times; return the segments with their words.

        The segments' own times stay those that the model wrote, because they must not depend on
        whether words are asked for; words lie within them. Only behind a prefix, where the model
        wrote none, a segment begins with its first word.
        """
        first, *others = self.alignment.times()
        count = len(self.prefix)
        before = _words(self.prefix, [1.0] * count, first[: count + 1], self.language)
        timed = zip(self.segments, [first[count:], *others], strict=True)
        segments = [_timed(segment, its, self.language) for segment, its in timed]
        return _without_pauses(segments, before)


def timing(
    segments: Sequence[Segment],
    tokens: Sequence[int],
    inputs: AlignmentInputs,
    end_of_text: int,
    language: str | None,
    prefix: Sequence[bytes] = (),
) -> Timing:
    """Begin to time the words of one window's segments, one at least, with logprobs.

    Args:
        tokens: all that is decoded of the window; the last rows of `inputs` are theirs.
        language: code of the text.
        prefix: the tokens of the text before `tokens`, whose rows lie before theirs.
    """
    before = inputs.queries.shape[1] - len(tokens)
    places_of = _places(segments, tokens, end_of_text)
    stretches = [
        Stretch([before + place for place in places], segment.start, segment.end)
        for segment, places in zip(segments, places_of, strict=True)
    ]
    if prefix:
        places = [*range(before - len(prefix), before), *stretches[0].places]
        stretches[0] = Stretch(places, 0.0, stretches[0].end)
    return Timing(segments, align(inputs, stretches), language, prefix)


def _places(
    segments: Sequence[Segment], tokens: Sequence[int], end_of_text: int
) -> Iterator[list[int]]:
    """Yield the places of each segment's text in `tokens`."""
    first = 0
    for segment in segments:
        length = len(segment.tokens)
        first = next(
            place
            for place in range(first, len(tokens))
            if tuple(tokens[place : place + length]) == segment.tokens
        )
        yield [n for n in range(first, first + length) if tokens[n] < end_of_text]
        first += length


def _timed(segment: Segment, times: Times, language: str | None) -> Segment:
    """Return the segment with its words, without them if they are not its whole text.

    Args:
        times: when each of its text tokens begins, and the last one ends.
    """
    probabilities = [exp(token.logprob) for token in segment.token_logprobs]
    tokens = [token.data for token in segment.token_logprobs]
    words = _words(tokens, probabilities, times, language)
    is_whole = "".join(word.text for word in words) == segment.text
    return replace(segment, words=words if is_whole else ())


def _words(
    tokens: Sequence[bytes], probabilities: Sequence[float], times: Times, language: str | None
) -> tuple[Word, ...]:
    return tuple(
        Word(
            spelling.text,
            round(float(times[spelling.places.start]), 3),
            round(float(times[spelling.places.stop]), 3),
            fmean(probabilities[spelling.places.start : spelling.places.stop]),
        )
        for spelling in spellings(tokens, language)
    )


def _without_pauses(segments: Sequence[Segment], before: Sequence[Word]) -> tuple[Segment, ...]:
    """Shorten the first and last word of each segment to a usual length.

    A segment may begin or end in a pause, and its word there then includes the pause.

    Args:
        before: words of a prefix, which the first segment goes on with; they are not returned.
    """
    spoken = [*before, *(word for segment in segments for word in segment.words)]
    if not spoken:
        return tuple(segments)
    lengths = [word.end - word.start for word in spoken]
    longest = LONGEST_MEDIANS * min(HIGHEST_MEDIAN, median(lengths))
    first, *others = segments
    whole = _trimmed(replace(first, words=(*before, *first.words)), longest)
    words = whole.words[len(before) :]
    start = words[0].start if before and words else first.start
    first = replace(first, start=start, words=words)
    return first, *(_trimmed(segment, longest) for segment in others)


def _trimmed(segment: Segment, longest: float) -> Segment:
    words = list(segment.words)
    if len(words) > 1:  # with one word it is unknown on which side the pause is
        first, last = words[0], words[-1]
        words[0] = replace(first, start=round(max(first.start, first.end - longest), 3))
        words[-1] = replace(last, end=round(min(last.end, last.start + longest), 3))
    return replace(segment, words=tuple(words))
