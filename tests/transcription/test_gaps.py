"""Speech without text: what lies under no segment, and what a second decode puts there."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.engines.engine import Window, WindowResult
from asr.transcript import Segment
from asr.transcription.gaps import missed, spliced, uncovered
from asr.vad.detector import Span
from tests.conftest import RATE


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
