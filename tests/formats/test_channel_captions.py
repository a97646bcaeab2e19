"""Cues of several channels come in the order of time, overlap where people do, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from asr.formats.captions import Captioner, Cue, Layout
from asr.formats.channel_captions import ChannelCaptioner
from asr.formats.events import transcript_events
from asr.formats.writers import writer, written
from asr.transcript import Segment, Transcript
from tests.formats.test_captions import letters

LAYOUT = Layout()
AGENT = Segment(
    0.0, 8.0, " one two three four five six seven eight nine ten eleven twelve", channel=0
)
CALLER = Segment(1.0, 2.0, " yes", channel=1)
AGAIN = Segment(9.0, 10.0, " well", channel=1)


def made() -> ChannelCaptioner:
    return ChannelCaptioner(lambda: Captioner(Layout(20, 1), names_speakers=True))


def lines(cues: list[Cue]) -> list[tuple[int, str]]:
    return [(cue.start, " ".join(cue.lines)) for cue in cues]


def test_a_word_amid_a_long_sentence_of_another_channel_has_its_own_time() -> None:
    captioner = made()
    first = [*captioner.push(AGENT), *captioner.push(CALLER)]
    rest = captioner.finish()
    found = lines([*first, *rest])
    assert [start for start, _ in found] == sorted(start for start, _ in found)
    assert (1000, "Channel 1: yes") in found
    assert found[0][1].startswith("Channel 0: one")
    assert found[1][1] == "Channel 1: yes"


def test_a_cue_is_given_out_as_soon_as_nothing_can_precede_it() -> None:
    captioner = made()
    assert captioner.push(AGENT) == []  # another channel may have something after its start
    assert [text for _, text in lines(captioner.push(CALLER))] == ["Channel 0: one two three"]
    assert captioner.holds_back == 2  # neither segment is written to its end
    given_out = lines(captioner.push(AGAIN))
    assert given_out[0] == (1000, "Channel 1: yes")
    assert given_out[-1][1].endswith("twelve")
    assert captioner.holds_back == 1
    assert lines(captioner.finish()) == [(9000, "Channel 1: well")]


def test_subtitles_name_the_channel() -> None:
    both = [AGENT, CALLER]
    assert "Channel 0: one two" in written(both, "srt", LAYOUT)
    assert "00:00:01.000 --> 00:00:02.000\n<v Channel 1>yes\n" in written(both, "vtt", LAYOUT)
    assert "[00:01.00]Channel 1: yes\n" in written(both, "lrc", LAYOUT)
    assert written(both, "tsv", LAYOUT).splitlines()[2] == "1000\t2000\tyes"
    assert "Channel" not in written(both, "text", LAYOUT)


def test_the_event_of_a_long_segment_waits_for_its_last_cue() -> None:
    async def parts() -> AsyncGenerator[Transcript]:
        yield Transcript((AGENT, CALLER, AGAIN), "en", 10.0)

    async def sent() -> list[str]:
        coming = transcript_events(parts(), writer("srt", LAYOUT), {"segment"}, lambda _: {})
        return [str(event.get("delta", event.get("text"))) async for event in coming]

    *events, _ = asyncio.run(sent())
    last = next(place for place, text in enumerate(events) if "twelve" in text)
    assert last < events.index(AGENT.text) < events.index(CALLER.text)


@st.composite
def channels(draw: st.DrawFn) -> list[Segment]:
    """Segments of three channels, of which none overlaps itself, by their starts."""
    found = []
    for number in range(3):
        place = 0.0
        for _ in range(draw(st.integers(0, 4))):
            place += draw(st.floats(0, 5))
            text = "".join(f" w{n}" for n in range(draw(st.integers(1, 40))))
            end = place + draw(st.floats(0.5, 10))
            found.append(Segment(place, end, text, channel=number))
            place = end
    return sorted(found, key=lambda segment: (segment.start, segment.channel))


@settings(max_examples=50)
@given(channels())
def test_cues_are_in_order_and_those_of_one_channel_never_overlap(segments: list[Segment]) -> None:
    captioner = ChannelCaptioner(lambda: Captioner(LAYOUT))
    cues = [cue for segment in segments for cue in captioner.push(segment)]
    cues += captioner.finish()
    assert [cue.start for cue in cues] == sorted(cue.start for cue in cues)
    for number in range(3):
        own = [cue for cue in cues if cue.speaker == f"Channel {number}"]
        assert all(cue.end <= after.start for cue, after in pairwise(own))
        alone = Captioner(LAYOUT)
        said = [each for each in segments if each.channel == number]
        plain = [cue for segment in said for cue in alone.push(segment)] + alone.finish()
        assert own == plain


@settings(max_examples=30)
@given(channels(), st.sampled_from(["text", "srt", "vtt", "lrc", "tsv"]))
def test_a_stream_says_the_same_and_a_segments_event_follows_its_text(
    segments: list[Segment], text_format: str
) -> None:
    async def parts() -> AsyncGenerator[Transcript]:
        for segment in segments:
            yield Transcript((segment,), "en", 9.0)
        yield Transcript((), "en", 9.0)

    async def sent() -> list[dict[str, object]]:
        writing = writer(text_format, LAYOUT)  # type: ignore[arg-type]
        coming = transcript_events(parts(), writing, {"segment"}, lambda _: {})
        return [dict(event) async for event in coming]

    *events, done = asyncio.run(sent())
    whole = written(segments, text_format, LAYOUT)  # type: ignore[arg-type]
    assert "".join(str(event.get("delta", "")) for event in events) == done["text"] == whole
    told = [event for event in events if event["type"] == "transcript.text.segment"]
    assert [event["channel"] for event in told] == [segment.channel for segment in segments]
    for place, event in enumerate(events):
        if event["type"] == "transcript.text.segment" and text_format == "text":
            before = "".join(str(each.get("delta", "")) for each in events[:place])
            assert letters(before).endswith(letters(str(event["text"])))
    assert len(told) == len(segments)
