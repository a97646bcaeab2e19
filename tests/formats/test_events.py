"""Events of a transcript: deltas, segments and the last one, in every format."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.formats.captions import Layout
from asr.formats.events import transcript_events
from asr.formats.writers import writer, written
from asr.transcript import Coverage, Segment, Transcript
from tests.formats.test_captions import letters, timed


@settings(max_examples=60)
@given(
    segments=st.lists(timed(), max_size=5),
    cut=st.integers(0, 5),
    text_format=st.sampled_from(["text", "srt", "vtt", "tsv"]),
)
def test_the_deltas_joined_are_the_whole_answer_however_the_parts_come(segments, cut, text_format):
    async def parts():
        for some in (segments[:cut], segments[cut:]):
            yield Transcript(tuple(some), "en", 9.0)

    async def sent():
        written_by = writer(text_format, Layout())
        return [
            event async for event in transcript_events(parts(), written_by, {"word"}, lambda _: {})
        ]

    *rest, done = asyncio.run(sent())
    whole = written(segments, text_format, Layout())
    assert "".join(event.get("delta", "") for event in rest) == done["text"] == whole
    timed_text = "".join(event.get("text", "") for event in rest)
    words = [word["word"] for event in rest for word in event.get("words", ())]
    said = letters("".join(segment.text for segment in segments))
    assert letters(timed_text) == letters("".join(words)) == said


@pytest.mark.parametrize("text_format", ["text", "srt", "vtt", "tsv"])
async def test_a_segment_comes_after_the_deltas_of_its_text_in_every_format(text_format):
    said = ["one", "two", "three"]

    async def parts():
        for start, text in enumerate(said):
            segment = Segment(float(start), start + 0.9, f" {text}")
            yield Transcript((segment,), "en", 3.0)

    writing = writer(text_format, Layout())
    sent = [e async for e in transcript_events(parts(), writing, {"segment"}, lambda _: {})][:-1]
    for text in said:
        [timed_at] = [n for n, e in enumerate(sent) if e.get("text") == f" {text}"]
        [written_at] = [n for n, e in enumerate(sent) if text in e.get("delta", "")]
        assert written_at < timed_at


async def test_the_last_event_tells_how_much_of_the_speech_is_covered():
    async def parts():
        yield Transcript((), "en", 4.0)
        yield Transcript((), "en", 9.0, Coverage(5.0, 4.0))

    sent = [
        e async for e in transcript_events(parts(), writer("text", Layout()), set(), lambda _: {})
    ]
    assert sent[-1]["coverage"] == {"speech": 5.0, "covered": 4.0, "gaps": []}
