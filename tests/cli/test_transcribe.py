"""`python -m asr transcribe`, as a process with the demo model."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from asr.cli import transcribe
from asr.cli.app import run
from asr.cli.transcribe import open_service
from tests.conftest import PATIENCE_SECONDS, ROOT, tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.two_channels import two_channels

SAMPLE = ROOT / "models/demo/samples/en-short.flac"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(tone(1.0)))
    return tmp_path


@pytest.fixture
def starts(monkeypatch):
    """Let the command have the fake engine; return the settings of each start."""
    monkeypatch.setenv("VAD", "off")
    configs = []

    def open_with_fake_engine(config, metrics):
        configs.append(config)
        return open_service(config, metrics, lambda _: FakeEngine())

    monkeypatch.setattr(transcribe, "open_service", open_with_fake_engine)
    return configs


def test_a_folder_is_transcribed_a_bad_file_is_named_and_the_rest_is_skipped_next_time(tmp_path):
    shutil.copy(SAMPLE, tmp_path)
    (tmp_path / "bad.wav").write_text("no audio")
    command = [sys.executable, "-m", "asr", "transcribe", str(tmp_path), "-f", "srt"]
    first, second = (
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "MODEL_ID": "demo"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        for _ in range(2)
    )
    assert (first.returncode, second.returncode) == (1, 1)
    assert first.stdout == f"{tmp_path}/en-short.srt\n"
    assert "2/2 files 100%" in first.stderr
    assert f"{tmp_path}/bad.wav: " in first.stderr
    assert "1 written, 0 skipped, 1 failed" in first.stderr
    assert "September." in (tmp_path / "en-short.srt").read_text()
    assert second.stdout == ""
    assert "0 written, 1 skipped, 1 failed" in second.stderr


def test_settings_come_from_options_and_from_the_environment(folder, starts, monkeypatch):
    monkeypatch.setenv("CHUNK_LENGTH_S", "20")
    assert run(["transcribe", str(folder), "--model", "demo", "--device", "cpu"]) == 0
    [config] = starts
    assert (config.model_id, config.device, config.chunk_length_s) == ("demo", "cpu", 20.0)
    assert (config.max_audio_seconds, config.jobs_share) == (0.0, 1.0)


def test_json_has_a_line_for_each_file(folder, starts, capsys):
    command = ["transcribe", str(folder), "-f", "srt", "-f", "json", "--json", "--quiet"]
    assert run(command) == 0
    written = json.loads(capsys.readouterr().out)
    assert written == {
        "file": f"{folder}/a.wav",
        "status": "written",
        "outputs": [f"{folder}/a.srt", f"{folder}/a.json"],
        "seconds": 1.0,
        "language": "en",
    }
    assert run(command) == 0  # and no engine is loaded
    again = capsys.readouterr()
    assert json.loads(again.out) == {"file": f"{folder}/a.wav", "status": "skipped"}
    assert again.err == ""
    assert len(starts) == 1
    assert run([*command, "--overwrite"]) == 0
    assert len(starts) == 2


def test_what_the_model_cannot_do_is_a_usage_error(folder, starts, capsys):
    assert run(["transcribe", str(folder), "--language", "klingon"]) == 2
    assert "does not know the language 'klingon'; it knows en, es" in capsys.readouterr().err
    assert len(starts) == 1


@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        (["--diarize"], {"DIARIZER": "off"}, "DIARIZER=off"),
        (["--min-speakers", "3", "--max-speakers", "2"], {}, "min_speakers=3"),
    ],
)
def test_speakers_that_cannot_be_told_apart_are_an_error_of_usage(
    folder, starts, monkeypatch, capsys, arguments, settings, told
):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert run(["transcribe", str(folder), *arguments]) == 2
    assert told in capsys.readouterr().err
    assert starts


def test_channels_are_split_and_named_in_the_subtitles(folder, starts):
    (folder / "a.wav").write_bytes(wav(two_channels(1.0)))
    assert run(["transcribe", str(folder), "--channels", "split", "-f", "srt"]) == 0
    written = (folder / "a.srt").read_text()
    assert "Channel 0: 1.00 s" in written
    assert "Channel 1: 1.00 s" in written
    assert starts


def test_what_is_no_channel_is_an_error_of_usage(folder, starts, capsys):
    assert run(["transcribe", str(folder), "--channels", "left"]) == 2
    assert "'left' must be mix, split or the number of a channel" in capsys.readouterr().err
    assert starts == []


def test_a_channel_that_a_file_lacks_is_told_and_the_others_go_on(folder, starts, capsys):
    (folder / "b.wav").write_bytes(wav(two_channels(1.0)))
    assert run(["transcribe", str(folder), "--channels", "1"]) == 1
    told = capsys.readouterr().err
    assert "a.wav: the audio has no channel 1, because it has 1" in told
    assert (folder / "b.txt").exists()
    assert starts
