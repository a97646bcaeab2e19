"""Outputs are whole files, or not there."""

import pytest

from asr.cli.output import write_whole


def test_a_file_is_replaced_at_once_and_its_folder_made(tmp_path):
    path = tmp_path / "new" / "a.srt"
    write_whole(path, "first")
    write_whole(path, "second")
    assert path.read_text() == "second\n"
    assert list(path.parent.iterdir()) == [path]


def test_silence_is_an_empty_file(tmp_path):
    write_whole(tmp_path / "a.txt", "")
    assert (tmp_path / "a.txt").read_bytes() == b""


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.srt"
    write_whole(path, "first\n")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "second \udce9")
    assert path.read_text() == "first\n"
    assert list(tmp_path.iterdir()) == [path]
