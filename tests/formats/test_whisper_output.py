"""openai/whisper's files: by letter where it matters, and as others' parsers read them."""

from __future__ import annotations

import io
import json
import subprocess
from datetime import timedelta
from typing import Any

import pytest
import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.audio.ffmpeg import find_program
from asr.formats.whisper_output import Output, written
from asr.transcript import Segment, Speaker, SpeakerTurn, Transcript
from tests.formats.test_captions import letters, timed


def transcript(*segments: Segment, **more: Any) -> Transcript:
    return Transcript(segments, "en", 9.5, **more)


LATE = transcript(Segment(3599.9995, 3661.25, " late"))


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("txt", "late\n"),
        ("srt", "1\n01:00:00,000 --> 01:01:01,250\nlate\n\n"),
        ("vtt", "WEBVTT\n\n01:00:00.000 --> 01:01:01.250\nlate\n\n"),
        ("tsv", "start\tend\ttext\n3600000\t3661250\tlate\n"),
    ],
)
def test_an_hour_is_shown_from_the_first_one_on(output: Output, text: str) -> None:
    assert written(LATE, output) == text


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("txt", ""),
        ("srt", ""),
        ("vtt", "WEBVTT\n\n"),
        ("tsv", "start\tend\ttext\n"),
        ("json", '{"text": "", "segments": [], "language": "en"}'),
    ],
)
def test_silence_has_no_segments(output: Output, text: str) -> None:
    assert written(transcript(), output) == text


def test_other_letters_are_kept_in_text_and_escaped_in_json() -> None:
    made = transcript(Segment(0.0, 1.0, " é　日\u2028本"))
    assert written(made, "txt") == "é　日 本\n"
    assert written(made, "json").isascii()
    assert json.loads(written(made, "json"))["text"] == made.text


def test_speakers_are_named_before_the_text_but_not_in_tables() -> None:
    speaker = Speaker(0)
    turns = (SpeakerTurn(0.0, 1.0, speaker),)
    made = transcript(
        Segment(0.0, 1.0, " a", speaker=speaker), Segment(1.0, 2.0, " b"), turns=turns
    )
    assert written(made, "txt") == "[SPEAKER_00]: a\nb\n"
    assert "\n[SPEAKER_00]: a\n" in written(made, "srt")
    assert written(made, "tsv") == "start\tend\ttext\n0\t1000\ta\n1000\t2000\tb\n"
    first, second = json.loads(written(made, "json"))["segments"]
    assert (first["speaker"], "speaker" in second) == ("SPEAKER_00", False)


@settings(max_examples=100)
@given(st.lists(timed(), max_size=5))
def test_every_output_carries_the_same_words(segments: list[Segment]) -> None:
    made = transcript(*segments)
    table = [row.split("\t")[2] for row in written(made, "tsv").splitlines()[1:]]
    found = {
        "txt": written(made, "txt"),
        "srt": " ".join(cue.content for cue in srt.parse(written(made, "srt"))),
        "tsv": " ".join(table),
        "json": json.loads(written(made, "json"))["text"],
    }
    said = letters(made.text).replace("-", "")  # an arrow in a text is shortened in subtitles
    assert {name: letters(text).replace("-", "") for name, text in found.items()} == (
        dict.fromkeys(found, said)
    )


def test_ffmpeg_and_a_parser_read_the_subtitles() -> None:
    made = transcript(
        Segment(0.5, 1.25, " one & two"), Segment(2.0, 2.0, " three"), Segment(3, 4, " ")
    )
    [first, second] = srt.parse(written(made, "srt"))
    assert (first.start, first.end, first.content) == (
        timedelta(seconds=0.5),
        timedelta(seconds=1.25),
        "one & two",
    )
    assert second.content == "three"
    captions = webvtt.from_buffer(io.StringIO(written(made, "vtt"))).captions
    assert [caption.raw_text for caption in captions] == ["one & two", "three"]
    program = find_program()
    assert program is not None
    command = [program, "-v", "error", "-f", "srt", "-i", "-", "-f", "webvtt", "-"]
    shown = subprocess.run(command, input=written(made, "srt").encode(), capture_output=True)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout.decode().count(" --> ") == 2
