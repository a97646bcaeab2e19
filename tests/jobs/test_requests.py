"""Options and transcripts are the same after they were kept."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from asr.jobs.requests import options_from_json, options_to_json, packed, unpacked
from asr.options import Options, Thresholds, VadOptions
from asr.transcript import Coverage, Gap, Segment, TokenLogprob, Transcript, Word

numbers = st.floats(-1e6, 1e6)
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
)
gaps = st.lists(st.builds(Gap, numbers, numbers, st.text()), max_size=2).map(tuple)
transcripts = st.builds(
    Transcript,
    st.lists(segments, max_size=3).map(tuple),
    st.none() | st.just("en"),
    numbers,
    st.none() | st.builds(Coverage, numbers, numbers, gaps),
    st.lists(st.text(), max_size=2).map(tuple),
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
        condition_on_previous_text=False,
    )
    for each in (options, Options()):
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
