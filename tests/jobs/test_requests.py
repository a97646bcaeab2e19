"""Options and transcripts are the same after they were kept."""

import json
import math
import zlib

from hypothesis import given
from hypothesis import strategies as st

from asr.jobs.requests import TURNS_A_LINE, options_from_json, options_to_json, packed, unpacked
from asr.options import AudioPart, KnownSpeaker, Options, SpeakerOptions, Thresholds, VadOptions
from asr.transcript import (
    Coverage,
    Gap,
    Segment,
    Speaker,
    SpeakerTurn,
    TokenLogprob,
    Transcript,
    Word,
)

numbers = st.floats(-1e6, 1e6)
speakers = st.builds(Speaker, st.integers(0, 99), st.none() | st.just("Zoë"))
turns = st.lists(st.builds(SpeakerTurn, numbers, numbers, speakers), max_size=2).map(tuple)
words = st.builds(Word, st.text(), numbers, numbers, st.none() | numbers)
segments = st.builds(
    Segment,
    numbers,
    numbers,
    st.text(),
    st.lists(words, max_size=3).map(tuple),
    st.lists(st.integers(0, 60_000), max_size=3).map(tuple),
    st.none() | numbers,
    doubt=st.none() | st.just("unlikely"),
    speaker=st.none() | speakers,
)
gaps = st.lists(st.builds(Gap, numbers, numbers, st.text()), max_size=2).map(tuple)
transcripts = st.builds(
    Transcript,
    st.lists(segments, max_size=3).map(tuple),
    st.none() | st.just("en"),
    numbers,
    st.none() | st.builds(Coverage, numbers, numbers, gaps),
    st.lists(st.text(), max_size=2).map(tuple),
    turns=st.none() | turns,
)


def test_options_are_the_same_after_they_were_kept():
    options = Options(
        language="en",
        languages=("en", "es"),
        task="translate",
        timestamps="word",
        prompt="Zoë",
        temperature=0.5,
        seed=2**62,
        max_new_tokens=9,
        thresholds=Thresholds(-1.0, None, 0.5),
        vad=VadOptions(0.4, pause=0.1),
        audio_track=1,
        part=AudioPart(1.5, 2.0),
        condition_on_previous_text=False,
        speakers=SpeakerOptions(least=2, most=4, known=(KnownSpeaker("Zoë", (0.6, -0.8)),)),
    )
    for each in (options, Options(), Options(speakers=SpeakerOptions())):
        assert options_from_json(json.loads(json.dumps(options_to_json(each)))) == each


@given(transcripts)
def test_a_transcript_is_the_same_after_it_was_kept(transcript):
    data, _ = packed(transcript)
    assert unpacked(data) == transcript


def test_what_a_result_does_not_need_is_left_out():
    token = TokenLogprob(b"\xff", -1.0)
    segment = Segment(0.0, 1.0, " hi", avg_logprob=-math.inf, token_logprobs=(token,))
    found = unpacked(packed(Transcript((segment,), "en", 1.0, ahead=(segment,)))[0])
    assert found == Transcript((Segment(0.0, 1.0, " hi"),), "en", 1.0)


def test_the_bytes_of_json_are_told():
    data, size = packed(Transcript((Segment(0.0, 1.0, " hello" * 10_000),), "en", 1.0))
    assert len(data) < 60_000 < size


def test_thousands_of_turns_are_kept_in_lines_of_some():
    """A thread holds the GIL, and with it the event loop, for no longer than a line takes."""
    turns = tuple(SpeakerTurn(n, n + 1.0, Speaker(n % 3)) for n in range(3 * TURNS_A_LINE + 1))
    transcript = Transcript((Segment(0.0, 1.0, "[hi]"),), "en", 1.0, turns=turns)
    data, _ = packed(transcript)
    assert unpacked(data) == transcript
    lengths = [line.count(b"start") for line in zlib.decompress(data).split(b"\n")]
    assert max(lengths) == TURNS_A_LINE
