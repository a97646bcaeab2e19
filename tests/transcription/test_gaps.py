"""Speech without text: what lies under no segment, and what a second decode puts there."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.engines.engine import Window, WindowResult
from asr.metrics import Metrics
from asr.transcript import Segment
from asr.transcription.coverage import SpeechCoverage
from asr.transcription.cutter import SCRAP_SECONDS, Cutter
from asr.transcription.gaps import missed, spliced, uncovered
from asr.transcription.joiner import Joiner
from asr.vad.detector import Span
from tests.conftest import RATE, KnownSpeech, tone

WORD_SECONDS = 1.0  # of which the last 0.2 are a pause


def window(start: float = 0.0, seconds: float = 30.0, **how) -> Window:
    return Window(np.zeros(round(seconds * RATE), np.float32), start, **how)


def said(start: float, end: float, text: str = " word") -> Segment:
    return Segment(start, end, text)


def test_words_that_a_segment_has_beyond_its_time_do_not_come_twice():
    result = WindowResult(window(), (said(0, 4, " We have four green chairs."), said(9, 12, " So")))
    last = WindowResult(window(4.0, 5.0), (said(0.1, 1.2, " Green chairs."),))
    assert spliced(result, last) == result
    again = WindowResult(window(4.0, 5.0), (said(0.1, 3, " We have four green chairs."),))
    assert [s.text for s in spliced(result, again).segments] == [
        " We have four green chairs.",
        " We have four green chairs.",
        " So",
    ]


times = st.lists(st.floats(0, 40, width=16), max_size=12)


@settings(max_examples=200)
@given(spoken=times, texts=times)
def test_speech_is_what_lies_under_texts_and_what_does_not(spoken, texts):
    speech = [Span(*pair) for pair in zip(*[iter(sorted(spoken))] * 2, strict=False)]
    covers = [Span(min(pair), max(pair)) for pair in zip(*[iter(texts)] * 2, strict=False)]
    left = list(uncovered(speech, covers))
    for moment in np.arange(0, 40, 0.0371):
        is_left = any(s.start <= moment < s.end for s in left)
        is_spoken = any(s.start <= moment < s.end for s in speech)
        is_covered = any(s.start <= moment < s.end for s in covers)
        assert is_left == (is_spoken and not is_covered)
    for gap in missed(speech, covers, 0.0, 40.0):
        assert gap.room.start <= gap.speech.start < gap.speech.end <= gap.room.end


def words_between(start: float, end: float) -> tuple[Segment, ...]:
    """The numbered words whose middles lie between two times, each a segment of its own."""
    first = int(np.ceil(start / WORD_SECONDS - 0.4))
    last = int(np.ceil(end / WORD_SECONDS - 0.4))
    return tuple(
        Segment(n * WORD_SECONDS - start, n * WORD_SECONDS + 0.8 - start, f" w{n}")
        for n in range(first, last)
    )


def recited(count: int) -> np.ndarray:
    word = np.concatenate([tone(0.8), np.zeros(round(0.2 * RATE), np.float32)])
    return np.tile(word, count)


def cut(samples: np.ndarray, window_seconds: float, stride: float | None) -> list[Window]:
    cutter = Cutter(window_seconds, stride)
    return [*cutter.push(samples), *cutter.finish()]


@settings(max_examples=60)
@given(data=st.data(), count=st.integers(8, 70), is_mended=st.booleans())
def test_a_lost_stretch_of_each_window_is_decoded_again_or_reported(data, count, is_mended):
    """Nothing lost, nothing twice, everything in order, and every second accounted for."""
    books = SpeechCoverage(KnownSpeech((0.0, float(count))), 0.0, Metrics())
    joiner = Joiner(0.0)
    written = []
    pieces = cut(recited(count), 20.0, None)
    for piece in pieces:
        words = words_between(piece.start, piece.end)
        first = data.draw(st.integers(0, len(words)))
        lost = words[first : first + data.draw(st.integers(0, len(words) - first))]
        remaining = tuple(word for word in words if word not in lost)
        result = books.without_invented(WindowResult(piece, remaining))
        parts = books.windows_to_redecode(result)
        assert bool(parts) == bool(lost)
        for part in parts if is_mended else ():
            found = WindowResult(part, words_between(part.start, part.end))
            result = spliced(result, books.without_invented(found))
        books.record_result(result)
        final = joiner.push(result)
        books.record_text(final)
        written += final
    said_ = [segment.text for segment in written]
    coverage = books.coverage()
    reported = {n for gap in coverage.gaps for n in range(round(gap.start), round(gap.end))}
    assert said_ == [f" w{n}" for n in range(count) if n not in reported]
    assert coverage.speech == pytest.approx(count, abs=SCRAP_SECONDS)  # a silent scrap is left
    pauses = 0.2 * len(pieces)  # that a cut parts from the word before, too short to be gaps
    assert 0.8 * len(said_) - 0.01 <= coverage.covered <= len(said_) + pauses
    if is_mended:
        assert not reported
    assert all(a.end <= b.start + 1e-6 for a, b in pairwise(written))
