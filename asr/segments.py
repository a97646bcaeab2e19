"""Merge the segments of a transcript into sentences."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import replace

from asr.transcript import Segment, Transcript

LONGEST_PAUSE = 2.0  # Segments with a longer pause between them, in seconds, are not merged.
SENTENCE_ENDS = frozenset(
    ".?!\u2026"  # … of European scripts
    "\u3002\uff0e\uff1f\uff01\uff61"  # of Chinese and Japanese
    "\u061f\u06d4\u0964\u0965\u1362\u17d4\u104b\u0589"  # Arabic, Urdu, Hindi, Amharic, Khmer ...
)
CLOSING = "\"'\u2019\u201d\u00bb\u203a)]}\u300d\u300f\uff09"  # These may follow a sentence's end.


class SentenceMerger:
    """Merges segments, in the order in which they come, into sentences.

    A sentence ends with its punctuation, or before the segment with which it would be longer than
    `longest` seconds. Another speaker or channel, and a long pause, end it too.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._held: list[Segment] = []  # of the sentence that has not ended

    def push(self, segment: Segment) -> list[Segment]:
        """Take the next segment; return what has ended with it."""
        ended = [] if self._continues(segment) else self.finish()
        self._held.append(segment)
        return ended + self.finish() if _ends_sentence(segment.text) else ended

    def finish(self) -> list[Segment]:
        """Return the sentence that has not ended: nothing follows."""
        held, self._held = self._held, []
        return [_whole(held)] if held else []

    def _continues(self, segment: Segment) -> bool:
        if not self._held:
            return True
        first, last = self._held[0], self._held[-1]
        ends = max(segment.end, *(each.end for each in self._held))
        return (
            _voice(segment) == _voice(last)
            and last.start <= segment.start
            and segment.start - last.end <= LONGEST_PAUSE
            and ends - first.start <= self._longest
        )


def merged(segments: Iterable[Segment], longest: float) -> tuple[Segment, ...]:
    """The segments as sentences of at most `longest` seconds; a longer segment stays as it is."""
    merger = SentenceMerger(longest)
    ended = [each for segment in segments for each in merger.push(segment)]
    return (*ended, *merger.finish())


async def merged_parts(
    parts: AsyncGenerator[Transcript], longest: float, at_once: bool = True
) -> AsyncGenerator[Transcript]:
    """A transcript's parts with sentences for segments, each as soon as it has ended.

    No text is given out ahead of its words, because what is merged is known at its end.

    Args:
        at_once: False: the parts stay as they are, and the last one tells how to merge them.
    """
    merger = SentenceMerger(longest)
    last: Transcript | None = None
    async with contextlib.aclosing(parts) as coming:
        async for last in coming:
            if not at_once:
                yield replace(last, segment_length=longest)
                continue
            ended = tuple(each for segment in last.segments for each in merger.push(segment))
            if ended:
                yield replace(last, segments=ended, ahead=())
    if last is not None and at_once:
        yield replace(last, segments=tuple(merger.finish()), ahead=())


def _ends_sentence(text: str) -> bool:
    said = text.rstrip().rstrip(CLOSING).rstrip()
    return said[-1:] in SENTENCE_ENDS if said else False


def _voice(segment: Segment) -> tuple[object, ...]:
    """Who is heard: the speaker and the channel, as far as they are told apart."""
    return segment.speaker, segment.channel


def _whole(parts: Sequence[Segment]) -> Segment:
    """One segment of all parts; its probabilities are the means, or the worst, of theirs."""
    first = parts[0]
    if len(parts) == 1:
        return first
    has_words = any(part.words for part in parts)
    has_logprobs = all(part.token_logprobs for part in parts if part.text.strip())
    return replace(
        first,
        end=max(part.end for part in parts),
        text="".join(part.text for part in parts),
        words=tuple(word for part in parts for word in part.timed_words) if has_words else (),
        unasked_words=tuple(word for part in parts for word in part.unasked_words),
        tokens=tuple(token for part in parts for token in part.tokens),
        token_logprobs=tuple(token for part in parts for token in part.token_logprobs)
        if has_logprobs
        else (),
        avg_logprob=_mean(parts, "avg_logprob"),
        own_logprob=_mean(parts, "own_logprob"),
        no_speech_prob=_highest(parts, "no_speech_prob"),
        temperature=_highest(parts, "temperature"),
        doubt=next((part.doubt for part in parts if part.doubt is not None), None),
    )


def _known(parts: Iterable[Segment], name: str) -> Iterator[tuple[Segment, float]]:
    return ((part, value) for part in parts if (value := getattr(part, name)) is not None)


def _mean(parts: Iterable[Segment], name: str) -> float | None:
    """The mean of a log-probability over the parts' tokens, of which each has one at least."""
    known = [(max(1, len(part.tokens)), value) for part, value in _known(parts, name)]
    count = sum(tokens for tokens, _ in known)
    return sum(tokens * value for tokens, value in known) / count if known else None


def _highest(parts: Iterable[Segment], name: str) -> float | None:
    return max((value for _, value in _known(parts, name)), default=None)
