"""The commands: their help is cheap, and what goes wrong has an exit code and one line."""

import subprocess
import sys

import pytest

from asr.cli.app import COMMANDS, commands, run
from tests.conftest import ROOT


def test_the_help_lists_every_command_and_imports_none():
    found = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "asr", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(f"  {name} " in found.stdout for name in COMMANDS)
    imported = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines()}
    assert "asr.cli.app" in imported
    assert imported.isdisjoint({"torch", "transformers", "numpy", "aiohttp", "pydantic", "tqdm"})


def test_commands_that_speak_to_a_server_need_neither_torch_nor_numpy():
    found = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import asr.cli.submit, asr.cli.wait"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines()}
    assert "asr.cli.client" in imported
    assert imported.isdisjoint({"torch", "transformers", "numpy", "soundfile"})


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_that_begins_with_what_it_does(name, capsys):
    assert run([name, "--help"]) == 0
    assert f"python -m asr {name}" in capsys.readouterr().out
    assert commands.get_command(None, name).name == name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transcribe"], "Missing argument 'FILE...'"),
        (["transcribe", "/nowhere/a.wav"], "'/nowhere/a.wav' does not exist"),
        (["transcribe", "-f", "doc", __file__], "'doc' is not one of 'text', 'srt'"),
        (["transcibe"], "No such command 'transcibe'"),
        (["submit", "/nowhere/a.wav"], "there is no file '/nowhere/a.wav', and it is no URL"),
        (["submit", "--id", "one", "http://a/1", "http://a/2"], "--id is for one job"),
        (["status", "one", "--server", "ftp://host"], "is no URL of a server, such as http://"),
        (["list", "--state", "done"], "'done' is not one of 'queued', 'running'"),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(arguments, message, capsys):
    assert run(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_bad_setting_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("PORT", "none")
    assert run(["serve"]) == 2
    assert capsys.readouterr().err.startswith("configuration: PORT='none' is not a port number")
