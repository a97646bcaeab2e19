"""`status`, `cancel` and `list`: what a server has of the caller's jobs."""

import json

import pytest

from asr.cli import jobs
from tests.conftest import tone, wav


@pytest.fixture
async def ids(command, engine, tmp_path, capsys):
    engine.gate.clear()
    (tmp_path / "a.wav").write_bytes(wav(tone(2.0)))
    for name in ("one", "two", "three"):
        assert await command("submit", f"{tmp_path}/a.wav", "--id", name) == 0
    return capsys.readouterr().out.split()


async def test_a_job_is_shown_in_a_line_and_cancelled(command, ids, engine, capsys):
    assert await command("cancel", "two", "nobodys") == 1
    out, err = capsys.readouterr()
    assert out.split()[0] == "cancelled"
    assert err.startswith("nobodys: the server answered 404")
    engine.gate.set()
    assert await command("wait", "one", "two", "three", "--quiet") == 1
    capsys.readouterr()
    assert await command("status", *ids) == 0
    states = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert states == ["completed", "cancelled", "completed"]


async def test_jobs_are_listed_newest_first_over_as_many_pages_as_it_takes(
    command, ids, engine, capsys, monkeypatch
):
    monkeypatch.setattr(jobs, "PAGE", 2)
    assert await command("list") == 0
    listed = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert listed == ids[::-1]
    assert await command("list", "--limit", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == "three"
    assert await command("list", "--state", "failed", "--state", "expired") == 0
    assert capsys.readouterr().out == ""
    engine.gate.set()
