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
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(arguments, message, capsys):
    assert run(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_bad_setting_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("PORT", "none")
    assert run(["serve"]) == 2
    assert capsys.readouterr().err.startswith("configuration: PORT='none' is not a port number")
