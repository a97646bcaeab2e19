"""Every format carries the same words, and others' parsers read ours."""

import html
import io
import json
import re
import subprocess
from dataclasses import replace
from itertools import pairwise

import imageio_ffmpeg
import pytest
import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.audio import TranscriptionDiarized, TranscriptionDiarizedSegment

from asr.api.openai.schemas import VerboseAnswer
from asr.formats.captions import Layout
from asr.formats.openai_json import diarized_json, plain_json, segment_json, usage, verbose_json
from asr.formats.writers import written
from asr.text import compression_ratio
from asr.transcript import Coverage, Gap, Segment, Speaker, SpeakerTurn, Transcript, Word
from tests.clients.readers import readings
from tests.formats.test_captions import letters, timed

LAYOUT = Layout()


def transcript(*segments, language="en"):
    return Transcript(segments, language, duration=9.5)


def vtt_text(vtt):
    captions = webvtt.from_buffer(io.StringIO(vtt)).captions
    return [html.unescape(caption.raw_text) for caption in captions]


@settings(max_examples=150)
@given(st.lists(timed(), max_size=5))
def test_every_format_carries_the_same_words(segments):
    made = transcript(*segments)
    said = letters(made.text)
    verbose = verbose_json(made, "transcribe", "english", {"segment", "word"}, 0.0)
    forms = {
        "json": plain_json(made)["text"],
        "text": written(segments, "text", LAYOUT),
        "verbose_json": verbose["text"],
        "segments": "".join(segment["text"] for segment in verbose["segments"]),
        "words": " ".join(word["word"] for word in verbose["words"]),
        "srt": " ".join(cue.content for cue in srt.parse(written(segments, "srt", LAYOUT))),
        "vtt": " ".join(vtt_text(written(segments, "vtt", LAYOUT))),
        "lrc": " ".join(text for _, text in lrc_lines(written(segments, "lrc", LAYOUT))),
        "tsv": " ".join(row[2] for row in rows(written(segments, "tsv", LAYOUT))),
    }
    assert {name: letters(text) for name, text in forms.items()} == dict.fromkeys(forms, said)
    assert forms["json"] == forms["text"] == forms["verbose_json"] == made.text.strip()
    assert json.loads(json.dumps(verbose)) == verbose


def lrc_lines(lrc):
    """Return the time and the text of each line."""
    return [re.fullmatch(r"\[(\d\d+:\d\d\.\d\d)\](.+)", line).groups() for line in lrc.splitlines()]


@pytest.mark.parametrize(
    ("segment", "lrc"),
    [
        (Segment(0.0, 1.0, " one two"), "[00:00.00]one two\n"),
        (Segment(3661.239, 3662.0, " late"), "[61:01.23]late\n"),
        (Segment(1.0, 2.0, " a", speaker=Speaker(0)), "[00:01.00]SPEAKER_00: a\n"),
        (Segment(1.0, 2.0, " "), ""),
    ],
)
def test_a_line_of_lrc_has_minutes_seconds_and_hundredths(segment, lrc):
    assert written([segment], "lrc", LAYOUT) == lrc


def test_ffmpeg_reads_the_lines_of_lrc_none_wider_than_wanted():
    made = Segment(59.0, 63.0, " the first word and the last word")
    lrc = written([made], "lrc", Layout(line_width=20, line_count=9))
    assert [text for _, text in lrc_lines(lrc)] == ["the first word", "and the last word"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lrc", "-i", "-"]
    read = subprocess.run([*command, "-f", "srt", "-"], input=lrc, capture_output=True, text=True)
    assert read.stderr == ""
    assert [cue.content for cue in srt.parse(read.stdout)] == [
        "the first word",
        "and the last word",
    ]


def rows(tsv):
    heading, *lines = tsv.splitlines()
    assert heading == "start\tend\ttext"
    return [line.split("\t") for line in lines]


@settings(max_examples=100)
@given(st.lists(timed(), max_size=5))
def test_parsers_of_others_find_cues_in_order_that_neither_overlap_nor_are_empty(segments):
    found = list(srt.parse(written(segments, "srt", LAYOUT), ignore_errors=False))
    assert [cue.index for cue in found] == list(range(1, len(found) + 1))
    assert all(cue.start < cue.end and cue.content for cue in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    others = webvtt.from_buffer(io.StringIO(written(segments, "vtt", LAYOUT))).captions
    assert [c.start_in_seconds for c in others] == [int(c.start.total_seconds()) for c in found]


def test_srt_and_vtt_are_written_as_their_readers_expect():
    segments = [Segment(0.0, 2.5, " Hello & <goodbye>."), Segment(3661.0, 3663.25, " So --> there")]
    assert written(segments, "srt", LAYOUT) == (
        "1\n00:00:00,000 --> 00:00:02,500\nHello & <goodbye>.\n\n"
        "2\n01:01:01,000 --> 01:01:03,250\nSo --> there\n\n"
    )
    assert written(segments, "vtt", LAYOUT) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nHello &amp; &lt;goodbye&gt;.\n\n"
        "01:01:01.000 --> 01:01:03.250\nSo --&gt; there\n\n"
    )


PLAIN_WORDS = st.text(st.characters(categories=["L", "N"], include_characters=".,?!'-"), min_size=1)


@settings(max_examples=10)
@given(st.lists(st.lists(PLAIN_WORDS, min_size=1, max_size=12), min_size=1, max_size=5))
def test_every_reader_finds_the_same_words_in_our_subtitles(texts):
    """ffmpeg among them; braces and angles, which it takes for markup, are not in the texts."""
    segments = [Segment(3.0 * n, 3.0 * n + 2.5, " " + " ".join(t)) for n, t in enumerate(texts)]
    said = letters("".join(segment.text for segment in segments))
    for text_format in ("srt", "vtt"):
        found = readings(text_format, written(segments, text_format, LAYOUT))
        assert len(found) == 2
        assert {name: "".join(words) for name, words in found.items()} == dict.fromkeys(found, said)


@pytest.mark.parametrize("text_format", ["srt", "vtt"])
def test_ffmpeg_reads_our_subtitles(text_format, tmp_path):
    file = tmp_path / f"subtitles.{text_format}"
    segments = [Segment(0.0, 2.5, " Hello & you."), Segment(2.0, 4.0, " " + "again " * 20)]
    file.write_text(written(segments, text_format, LAYOUT))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(file), "-f", "srt", "-"]
    read = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    assert read.stderr == ""
    ours = list(srt.parse(written(segments, "srt", LAYOUT)))
    assert [cue.end for cue in srt.parse(read.stdout)] == [cue.end for cue in ours]
    assert letters(read.stdout) == letters(written(segments, "srt", LAYOUT))


def test_tsv_has_milliseconds_and_one_line_for_each_segment():
    segments = [Segment(0.0, 2.5, " a\tb\nc"), Segment(2.5, 3.0, " "), Segment(3.0, 4.001, " d")]
    assert written(segments, "tsv", LAYOUT) == "start\tend\ttext\n0\t2500\ta b c\n3000\t4001\td\n"


@pytest.mark.parametrize(
    ("text_format", "expected"),
    [("text", ""), ("srt", ""), ("vtt", "WEBVTT\n\n"), ("tsv", "start\tend\ttext\n")],
)
def test_silence_is_an_empty_document(text_format, expected):
    assert written([], text_format, LAYOUT) == expected


def test_plain_json_is_the_text_and_the_seconds_begun():
    assert plain_json(transcript(Segment(0.0, 1.0, " hello"), Segment(1.0, 2.0, " you "))) == {
        "text": "hello you",
        "usage": {"type": "duration", "seconds": 10},
    }
    assert usage(9.0) == {"type": "duration", "seconds": 9}


def test_a_segment_has_the_ten_fields():
    segment = Segment(
        31.5, 33.0004, " hello", (), (50364, 1, 50439), -0.25, 0.01, 0.2, window_start=30.0
    )
    assert segment_json(3, segment, 0.0) == {
        "id": 3,
        "seek": 3000,
        "start": 31.5,
        "end": 33.0,
        "text": " hello",
        "tokens": [50364, 1, 50439],
        "temperature": 0.2,
        "avg_logprob": -0.25,
        "compression_ratio": compression_ratio(" hello"),
        "no_speech_prob": 0.01,
    }
    assert segment_json(0, Segment(0.0, 1.0, " a"), 0.4)["temperature"] == 0.4


def test_verbose_json_tells_how_much_of_the_speech_is_covered():
    gaps = (Gap(2.0, 4.0004, "repetition"),)
    made = Transcript((Segment(0.0, 2.0, " a"),), "en", 9.0, Coverage(4.0, 2.00049, gaps))
    found = verbose_json(made, "transcribe", "english", {"segment"}, 0.0)
    assert found["coverage"] == {
        "speech": 4.0,
        "covered": 2.0,
        "gaps": [{"start": 2.0, "end": 4.0, "reason": "repetition"}],
    }
    VerboseAnswer.model_validate(found, extra="forbid")
    assert "coverage" not in verbose_json(transcript(), "transcribe", "english", set(), 0.0)


@pytest.mark.parametrize(
    ("granularities", "present"),
    [
        ({"segment"}, {"segments"}),
        ({"word"}, {"words"}),
        ({"segment", "word"}, {"segments", "words"}),
        (set(), set()),
    ],
)
def test_verbose_json_has_the_granularities_asked(granularities, present):
    words = (Word(" hello", 0.1, 0.4, 0.987654), Word(" you", 0.5, 0.75))
    made = transcript(Segment(0.0, 1.0, " hello you", words))
    found = verbose_json(made, "transcribe", "english", granularities, 0.0)
    assert found.keys() - {"task", "language", "duration", "text", "usage"} == present
    if "words" in present:
        assert found["words"] == [
            {"word": "hello", "start": 0.1, "end": 0.4, "probability": 0.9877},
            {"word": "you", "start": 0.5, "end": 0.75},
        ]


ADA, OTHER = Speaker(0, "Ada & <Co>"), Speaker(1)
DIALOGUE = (
    Segment(0.0, 1.5, " Hello.", speaker=ADA),
    Segment(1.5, 2.5, " So --> there", speaker=OTHER),
    Segment(3.0, 4.0, " and nobody"),
)


def test_subtitles_name_the_speakers():
    assert written(DIALOGUE, "srt", LAYOUT) == (
        "1\n00:00:00,000 --> 00:00:01,500\nAda & <Co>: Hello.\n\n"
        "2\n00:00:01,500 --> 00:00:02,500\nSPEAKER_01: So --> there\n\n"
        "3\n00:00:03,000 --> 00:00:04,000\nand nobody\n\n"
    )
    assert written(DIALOGUE, "vtt", LAYOUT) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n<v Ada &amp; &lt;Co&gt;>Hello.\n\n"
        "00:00:01.500 --> 00:00:02.500\n<v SPEAKER_01>So --&gt; there\n\n"
        "00:00:03.000 --> 00:00:04.000\nand nobody\n\n"
    )


def test_text_and_tsv_do_not_name_the_speakers():
    without = [replace(segment, speaker=None) for segment in DIALOGUE]
    for text_format in ("text", "tsv"):
        assert written(DIALOGUE, text_format, LAYOUT) == written(without, text_format, LAYOUT)


def test_other_programs_read_the_speakers_of_our_subtitles():
    [first, second, _] = webvtt.from_buffer(io.StringIO(written(DIALOGUE, "vtt", LAYOUT))).captions
    assert (first.text, second.voice) == ("Hello.", "SPEAKER_01")
    segments = [Segment(0.0, 1.5, " Hello.", speaker=OTHER), Segment(2.0, 3.0, " Yes.")]
    plain = readings("vtt", written(segments, "vtt", LAYOUT))["ffmpeg"]
    assert plain == ["Hello.", "Yes."]
    named = readings("srt", written(segments, "srt", LAYOUT))
    assert set(map(tuple, named.values())) == {("SPEAKER_01:", "Hello.", "Yes.")}


def diarized(*segments):
    turns = tuple(SpeakerTurn(s.start, s.end, s.speaker) for s in segments if s.speaker is not None)
    return replace(transcript(*segments), turns=turns)


def test_diarized_json_is_what_openais_client_expects():
    found = diarized_json(diarized(*DIALOGUE), "transcribe")
    read = TranscriptionDiarized.model_validate_json(json.dumps(found), strict=True, extra="forbid")
    assert (read.task, read.duration, read.usage.seconds) == ("transcribe", 9.5, 10)
    assert "".join(segment.text for segment in read.segments).strip() == read.text
    assert [segment.model_dump() for segment in read.segments[:2]] == [
        {
            "id": "seg_001",
            "end": 1.5,
            "speaker": "Ada & <Co>",
            "start": 0.0,
            "text": " Hello.",
            "type": "transcript.text.segment",
        },
        {
            "id": "seg_002",
            "end": 2.5,
            "speaker": "B",
            "start": 1.5,
            "text": " So --> there",
            "type": "transcript.text.segment",
        },
    ]
    assert [segment.speaker for segment in read.segments] == ["Ada & <Co>", "B", ""]
    assert found["segments"][0].keys() == TranscriptionDiarizedSegment.model_fields.keys()
    silence = diarized_json(diarized(), "transcribe")
    assert (silence["segments"], silence["text"]) == ([], "")


def test_verbose_json_has_the_speakers_of_segments_and_words_where_they_are_told_apart():
    found = verbose_json(diarized(*DIALOGUE), "transcribe", "english", {"segment", "word"}, 0.0)
    labels = ["Ada & <Co>", "SPEAKER_01", None]
    assert [segment["speaker"] for segment in found["segments"]] == labels
    words = {word["word"]: word["speaker"] for word in found["words"]}
    assert words == {"Hello.": labels[0]} | dict.fromkeys(["So", "-->", "there"], labels[1]) | {
        "and": None,
        "nobody": None,
    }
    VerboseAnswer.model_validate(found, extra="forbid")
    plain = verbose_json(transcript(*DIALOGUE), "transcribe", "english", {"segment", "word"}, 0.0)
    assert not any("speaker" in each for each in plain["segments"] + plain["words"])
