"""`wait`: follows jobs to their end, and makes files of their results."""

import json

import pytest

from asr.cli import wait
from asr.cli.client import JobsClient, Unreachable
from asr.cli.wait import Watch
from tests.conftest import tone, wav

ENDED = {"id": "j", "state": "completed", "progress": {"done": 3.0, "total": 3.0}}
RUNNING = {**ENDED, "state": "running"}


@pytest.fixture
async def job_id(command, tmp_path, capsys):
    (tmp_path / "a.wav").write_bytes(wav(tone(1.0)))
    assert await command("submit", f"{tmp_path}/a.wav", "--id", "mine") == 0
    return capsys.readouterr().out.strip()


async def test_results_are_files_under_the_id(command, job_id, tmp_path, capsys):
    out = tmp_path / "out"
    assert await command("wait", job_id, "-f", "srt", "-f", "json", "-o", str(out)) == 0
    assert capsys.readouterr().out == f"{out}/mine.srt\n{out}/mine.json\n"
    assert (out / "mine.srt").read_text() == "1\n00:00:00,000 --> 00:00:01,000\n1.00 s\n\n"
    assert json.loads((out / "mine.json").read_text())["text"] == " 1.00 s"


async def test_json_has_the_job_and_its_results(command, job_id, capsys):
    assert await command("wait", job_id, "-f", "text", "--json", "--quiet") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["results"]) == ("completed", {"text": "1.00 s"})


async def test_a_job_that_failed_or_is_unknown_is_told_by_the_exit_code(command, tmp_path, capsys):
    (tmp_path / "bad.wav").write_bytes(b"\0" * 100)
    assert await command("submit", f"{tmp_path}/bad.wav", "--id", "bad") == 0
    assert await command("wait", "bad", "nobodys") == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].startswith("failed ")
    assert "nobodys: the server answered 404: there is no job 'nobodys'" in err


class Restarting(JobsClient):
    """Stands for the client of a server that is away for some time, in mid-job."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.asked: list[str] = []

    async def get(self, job_id):  # noqa: ARG002
        return ENDED if len(self.asked) > self.times else RUNNING

    async def events(self, job_id, last):  # noqa: ARG002
        self.asked.append(last)
        yield f"1.{len(self.asked)}"
        if len(self.asked) <= self.times:
            raise Unreachable("away")


async def test_waiting_goes_on_where_the_connection_broke(monkeypatch):
    monkeypatch.setattr(wait, "AGAIN_SECONDS", 0.01)
    client = Restarting(2)
    assert await Watch(client).ended("j") == ENDED
    assert client.asked == ["", "1.1", "1.2"]


async def test_a_server_that_stays_away_is_given_up(monkeypatch):
    monkeypatch.setattr(wait, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(wait, "LOST_SECONDS", 0.05)
    with pytest.raises(Unreachable):
        await Watch(Restarting(1000)).ended("j")
