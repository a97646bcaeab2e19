"""Transcripts as text files, each whole or not there."""

import json

import pytest

from asr.capabilities import EngineInfo
from asr.cli.output import rendered, write_whole
from asr.options import Options
from asr.transcript import Segment, Transcript

INFO = EngineInfo("m", "whisper", "no", "cpu", {"es": "spanish", "en": "english"})
TRANSCRIPT = Transcript((Segment(0.0, 1.5, " Hola señor."),), "es", 2.0)


@pytest.mark.parametrize(
    ("output_format", "text"),
    [
        ("text", "Hola señor.\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:01,500\nHola señor.\n\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHola señor.\n\n"),
        ("tsv", "start\tend\ttext\n0\t1500\tHola señor.\n"),
    ],
)
def test_a_transcript_becomes_text(output_format, text):
    assert rendered(TRANSCRIPT, output_format, Options(), INFO) == text


def test_a_transcript_becomes_json():
    plain = rendered(TRANSCRIPT, "json", Options(), INFO)
    assert json.loads(plain)["text"] == "Hola señor."
    assert "señor" in plain
    verbose = json.loads(rendered(TRANSCRIPT, "verbose_json", Options(timestamps="word"), INFO))
    assert (verbose["language"], verbose["duration"]) == ("spanish", 2.0)
    assert [word["word"] for word in verbose["words"]] == ["Hola", "señor."]
    translated = rendered(TRANSCRIPT, "verbose_json", Options(task="translate"), INFO)
    assert json.loads(translated)["language"] == "english"


def test_silence_is_an_empty_file():
    assert rendered(Transcript((), None, 2.0), "text", Options(), INFO) == ""


def test_a_file_is_replaced_at_once_and_its_folder_made(tmp_path):
    path = tmp_path / "new" / "a.srt"
    write_whole(path, "first")
    write_whole(path, "second")
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.srt"
    write_whole(path, "first")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "second \udce9")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
