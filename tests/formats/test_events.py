"""Events of a transcript: deltas, segments and the last one, in every format."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.formats.captions import Layout
from asr.formats.events import diarized_events, transcript_events
from asr.formats.openai_json import label
from asr.formats.writers import writer, written
from asr.transcript import Coverage, Segment, Speaker, Transcript
from tests.formats.test_captions import letters, timed


@settings(max_examples=60)
@given(
    segments=st.lists(timed(), max_size=5),
    cut=st.integers(0, 5),
    text_format=st.sampled_from(["text", "srt", "vtt", "lrc", "tsv"]),
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


@pytest.mark.parametrize("text_format", ["text", "srt", "vtt", "lrc", "tsv"])
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


def by_turns(transcript):
    """The first half of each segment is A's, the rest B's."""
    parted = []
    for segment in transcript.segments:
        first, second = segment.text.split()
        middle = (segment.start + segment.end) / 2
        parted.append(replace(segment, end=middle, text=f" {first}", speaker=Speaker(0)))
        parted.append(replace(segment, start=middle, text=f" {second}", speaker=Speaker(1)))
    return replace(transcript, segments=tuple(parted))


async def diarized(parts, text_format, **how):
    writing = writer(text_format, Layout())
    events = diarized_events(parts(), writing, {"segment"}, lambda _: {}, by_turns, **how)
    return [event async for event in events]


async def two_parts():
    for start in (0.0, 2.0):
        segment = Segment(start, start + 1.5, f" yes {start:.0f}")
        yield Transcript((), "en", 4.0, ahead=(segment,))  # its words' times are not known yet
        yield Transcript((segment,), "en", 4.0)
    yield Transcript((), "en", 4.0, Coverage(3.0, 3.0), ("damaged",))


async def test_speakers_come_at_the_end_and_the_text_before():
    sent = await diarized(two_parts, "text")
    kinds = [event["type"].rpartition(".")[2] for event in sent]
    assert kinds == ["delta", "delta", "segment", "segment", "segment", "segment", "done"]
    assert [event["delta"] for event in sent[:2]] == ["yes 0", " yes 2"]
    assert [(e["id"], e["text"], e["speaker"]) for e in sent[2:-1]] == [
        ("seg_001", " yes", "A"),
        ("seg_002", " 0", "B"),
        ("seg_003", " yes", "A"),
        ("seg_004", " 2", "B"),
    ]
    assert (sent[-1]["text"], sent[-1]["warnings"]) == ("yes 0 yes 2", ["damaged"])
    named = await diarized(two_parts, "text", name=label)
    assert [e["speaker"] for e in named[2:4]] == ["SPEAKER_00", "SPEAKER_01"]


@pytest.mark.parametrize("text_format", ["text", "srt", "vtt", "lrc", "tsv"])
async def test_the_deltas_of_a_stream_with_speakers_are_the_whole_answer(text_format):
    *sent, done = await diarized(two_parts, text_format)
    parts = [part async for part in two_parts()]
    segments = tuple(segment for part in parts for segment in part.segments)
    whole = by_turns(Transcript(segments, "en", 4.0)).segments
    assert "".join(event.get("delta", "") for event in sent) == done["text"]
    assert done["text"] == written(whole, text_format, Layout())


async def test_silence_has_no_speakers_and_no_error():
    async def nothing():
        yield Transcript((), None, 4.0, turns=())

    [done] = await diarized(nothing, "text")
    assert (done["type"], done["text"]) == ("transcript.text.done", "")
