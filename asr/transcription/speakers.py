"""Assign words to speakers, and split segments where the speaker changes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

from asr.segments import merged
from asr.transcript import Segment, Speaker, SpeakerTurn, TokenLogprob, Transcript, Word, between

NEAR = 0.5  # A word without a turn is said by the speaker of one within this many seconds.
LONE = 0.3  # A word shorter than this many seconds, amid another speaker's words, is theirs.
UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF))  # Thai, Lao, Burmese, Khmer.


@dataclass(eq=False)
class _Said:
    """A word of a segment, or all of a segment without words."""

    start: float  # seconds
    end: float  # seconds
    place: int = 0  # of its first letter in the segment's text, the space before it included
    words: tuple[Word, ...] = ()  # of the segment; the model may have written one in pieces
    speaker: Speaker | None = None


def with_speakers(transcript: Transcript) -> Transcript:
    """Assign the words of a whole transcript to the speakers of its turns.

    A word goes to the turn that it overlaps longest, else to the nearest one within NEAR, else to
    the speaker of the word before it. Segments are split where the speaker changes, never inside
    a word; their texts joined stay the same. Without turns nobody is known to speak. What is to
    be merged into sentences is merged then.

    An hour takes about 0.1 s: to be called in a thread.
    """
    longest = transcript.segment_length
    segments = _spoken(transcript)
    if longest is not None:
        segments = merged(segments, longest)
    return replace(transcript, segments=segments, segment_length=None)


def _spoken(transcript: Transcript) -> tuple[Segment, ...]:
    segments = transcript.segments
    if not transcript.turns:
        return tuple(map(_bare, segments))
    said = [_words_of(segment) for segment in segments]
    ordered = [word for words in said for word in words]
    _assign(ordered, transcript.turns)
    _correct(ordered)
    parts = zip(segments, said, strict=True)
    return tuple(part for pair in parts for part in _split(*pair))


def _bare(segment: Segment) -> Segment:
    return replace(segment, unasked_words=()) if segment.unasked_words else segment


def _words_of(segment: Segment) -> list[_Said]:
    """The words of a segment, each where it is in the text; at least one."""
    text, found = segment.text, list[_Said]()
    end = 0  # of the word before
    for word in segment.words or segment.unasked_words or segment.timed_words:
        bare = word.text.strip()
        place = text.find(bare, end) if bare else end
        first = len(text[:place].rstrip()) if place > end else end
        words = (word,) if segment.words else ()
        if found and (place < 0 or not _is_border(text, max(first, end))):
            last = found[-1]
            last.end, last.words = max(last.end, word.end), last.words + words
        else:
            found.append(_Said(word.start, word.end, max(first, end) if found else 0, words))
        if place >= 0:
            end = place + len(bare)
    return found or [_Said(segment.start, segment.end, words=segment.words)]


def _is_border(text: str, place: int) -> bool:
    """Whether a word of the printed text may begin at `place`."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    return before.isspace() or after.isspace() or _is_unspaced(before) or _is_unspaced(after)


def _is_unspaced(letter: str) -> bool:
    """Whether the letter is of a script that puts no spaces between words."""
    if unicodedata.east_asian_width(letter) in {"W", "F"}:
        return True
    return any(first <= ord(letter) <= last for first, last in UNSPACED)


def _assign(words: Sequence[_Said], turns: Sequence[SpeakerTurn]) -> None:
    """Give each word its speaker; `turns` are ordered by start, and there is one at least."""
    for word, turn in _nearest(words, turns):
        word.speaker = turn.speaker
    last = turns[0].speaker  # whoever speaks first has the words before any turn
    for word in words:
        last = word.speaker = word.speaker or last


def _nearest(
    words: Sequence[_Said], turns: Sequence[SpeakerTurn]
) -> Iterator[tuple[_Said, SpeakerTurn]]:
    """Each word with a turn near it, and the turn that it overlaps longest, or else the nearest.

    Words and turns pass by once, in the order of their starts.
    """
    coming, around = iter(turns), list[SpeakerTurn]()
    following = next(coming, None)
    for word in sorted(words, key=attrgetter("start")):
        while following is not None and following.start <= word.end + NEAR:
            around.append(following)
            following = next(coming, None)
        around = [turn for turn in around if turn.end >= word.start - NEAR]
        near = [(_overlap(word, turn), turn) for turn in around]
        distance, turn = max(near, key=lambda pair: pair[0], default=(-2 * NEAR, turns[0]))
        if distance >= -NEAR:
            yield word, turn


def _overlap(word: _Said, turn: SpeakerTurn) -> float:
    """Seconds that a word and a turn share; where they share none, less than 0 by the distance."""
    return min(word.end, turn.end) - max(word.start, turn.start)


def _correct(words: Sequence[_Said]) -> None:
    """Give a short word between two of one speaker to that speaker."""
    for before, word, after in zip(words, words[1:], words[2:], strict=False):
        if before.speaker == after.speaker and word.end - word.start < LONE:
            word.speaker = before.speaker


def _split(segment: Segment, said: Sequence[_Said]) -> list[Segment]:
    """The parts of a segment, one for each change of the speaker."""
    runs = [(speaker, list(run)) for speaker, run in groupby(said, attrgetter("speaker"))]
    if len(runs) == 1:
        return [replace(_bare(segment), speaker=runs[0][0])]
    places = [run[0].place for _, run in runs] + [len(segment.text)]
    parts = []
    for number, (speaker, run) in enumerate(runs):
        first, end = places[number : number + 2]
        part = replace(
            segment,
            start=segment.start if number == 0 else run[0].start,
            end=segment.end if number == len(runs) - 1 else max(word.end for word in run),
            text=segment.text[first:end],
            words=tuple(word for each in run for word in each.words),
            unasked_words=(),
            tokens=(),  # theirs is the whole segment's text
            token_logprobs=_logprobs(segment, first, end),
            speaker=speaker,
        )
        parts.append(part)
    return parts


def _logprobs(segment: Segment, first: int, end: int) -> tuple[TokenLogprob, ...]:
    """The tokens between two letters of the text."""
    if not segment.token_logprobs:
        return ()
    start = len(segment.text[:first].encode())
    length = len(segment.text[first:end].encode())
    return tuple(between(segment.token_logprobs, start, start + length))
