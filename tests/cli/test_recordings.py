"""Which files are transcribed, and where their outputs go."""

import os

import click
import pytest

from asr.cli.recordings import Recording, find


@pytest.fixture
def folder(tmp_path):
    for name in ("b.MP3", "a.wav", "notes.txt", "in/c.flac", ".hidden/d.wav", "in/.e.wav"):
        path = tmp_path / "talks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "talks"


def test_a_folder_gives_its_audio_in_order_and_its_inner_folders_are_kept(folder, tmp_path):
    found = find([folder], ["srt", "verbose_json"], tmp_path / "out")
    assert [each.audio.name for each in found] == ["a.wav", "b.MP3", "c.flac"]
    assert found[2].outputs == {
        "srt": tmp_path / "out/in/c.srt",
        "verbose_json": tmp_path / "out/in/c.verbose.json",
    }


def test_without_a_directory_an_output_lies_beside_its_audio(folder):
    [found] = find([folder / "in"], ["text"], None)
    assert found.outputs == {"text": folder / "in/c.txt"}


def test_a_file_is_taken_whatever_its_suffix_and_once_however_often_it_is_named(folder, tmp_path):
    found = find([folder / "notes.txt", folder / "a.wav", folder], ["srt"], tmp_path)
    assert [each.audio.name for each in found] == ["notes.txt", "a.wav", "b.MP3", "c.flac"]


def test_outputs_of_files_with_one_stem_keep_their_suffixes(folder, tmp_path):
    (folder / "a.ogg").touch()
    found = find([folder], ["srt"], tmp_path)
    names = [each.outputs["srt"].name for each in found]
    assert names == ["a.ogg.srt", "a.wav.srt", "b.srt", "c.srt"]


def test_two_files_with_one_output_are_refused(folder, tmp_path):
    (tmp_path / "a.wav").touch()
    with pytest.raises(click.UsageError, match=r"would both be written to .*a\.wav\.srt"):
        find([folder / "a.wav", tmp_path / "a.wav"], ["srt"], tmp_path)


def test_a_folder_without_audio_is_refused(tmp_path):
    with pytest.raises(click.UsageError, match="there is no audio"):
        find([tmp_path], ["srt"], None)


def test_a_recording_is_done_when_all_its_outputs_are_as_new_as_the_audio(tmp_path):
    audio, srt, vtt = (tmp_path / name for name in ("a.wav", "a.srt", "a.vtt"))
    recording = Recording(audio, {"srt": srt, "vtt": vtt})
    for path in (audio, srt):
        path.touch()
    assert not recording.is_done
    vtt.touch()
    assert recording.is_done
    os.utime(audio, ns=(0, srt.stat().st_mtime_ns + 1))
    assert not recording.is_done
