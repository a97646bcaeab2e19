"""A soak from its start to its table: restarts, crashing clients, and a leak that is found."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from benchmark.reliability.server import ServerProcess
from benchmark.soak import soak as program
from benchmark.soak.judge import Record, verdicts
from benchmark.soak.soak import SETTINGS, Plan, Soak

FEW = 6  # so many of the requests


def soaked(plan: Plan, folder: Path) -> Record:
    soak = Soak(plan, ServerProcess(folder, SETTINGS, plan.command()))
    try:
        asyncio.run(soak.run())
    finally:
        soak.server.end()
    return soak.record


def test_a_server_outlives_crashing_clients_and_restarts(tmp_path: Path) -> None:
    restarts = ((0.1, signal.SIGTERM), (0.2, signal.SIGKILL))
    record = soaked(Plan(turns=6, rounds=5, callers=4, cards=FEW, restarts=restarts), tmp_path)
    outcomes = record.outcomes
    assert outcomes.unexpected == {}
    assert outcomes.unlike == {}
    assert outcomes.lost == {}
    assert (len(record.exits), record.kills) == (1, 1)
    assert outcomes.crashed > 0
    assert outcomes.good
    assert record.undriven == []
    left = [row for row in verdicts(record) if "left when nobody calls" in row.name]
    assert [row.passes for row in left] == [True, True]


def test_a_planted_leak_is_found(tmp_path: Path) -> None:
    record = soaked(
        Plan(turns=10, rounds=8, callers=2, cards=FEW, leak="memory", restarts=()), tmp_path
    )
    growth = [row for row in verdicts(record) if row.name.startswith("RSS growth")]
    assert [row.passes for row in growth] == [False], growth[0].figure


def test_a_soak_that_misses_a_mark_ends_with_1_and_fills_the_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "r.md"
    document.write_text("before\n<!-- leak -->\nold\n<!-- end of leak -->\nafter\n")

    def lose(soak: Soak) -> int:
        soak.record.outcomes.lost["a request"] += 1
        return 0

    monkeypatch.setattr(program, "_run", lose)
    assert program.main(["--hours", "1", "--leak", "1", "--write", str(document)]) == 1
    assert "FAIL" in capsys.readouterr().out
    text = document.read_text()
    assert text.startswith("before\n<!-- leak -->\n`python -m benchmark.soak")
    assert text.endswith("<!-- end of leak -->\nafter\n")
    assert "old" not in text


def test_an_unknown_leak_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--leak", "sockets"])
    assert "'sockets' is none of memory" in capsys.readouterr().err
