"""The reliability tests' frame: marks, tables, broken trials, the document that is filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.reliability import suite
from benchmark.reliability.document import insert
from benchmark.reliability.suites import read
from benchmark.reliability.trials.inputs import without_count
from benchmark.reliability.trials.trial import Trial
from benchmark.reliability.verdict import Verdict, at_most, reported, table, unmeasured
from tests.conftest import ROOT


def good(_: Path) -> list[Verdict]:
    return [
        at_most("p99", 99.0, 100, "ms"),
        reported("note", "all"),
        unmeasured("b", "0", "no GPU"),
    ]


def bad(_: Path) -> list[Verdict]:
    return [at_most("failures", 1, 0)]


def broken(_: Path) -> list[Verdict]:
    raise OSError("no port")


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [Trial(n, run.__name__, "t", 1, run) for n, run in enumerate((good, bad, broken), 1)]
    monkeypatch.setattr(suite, "TRIALS", tuple(made))


@pytest.mark.usefixtures("trials")
@pytest.mark.parametrize(("names", "code"), [(["good"], 0), (["good", "bad"], 1), (["broken"], 1)])
def test_the_exit_code_is_0_when_no_mark_is_missed(
    names: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suite.main(["--only", *names]) == code
    output = capsys.readouterr().out
    assert "python -m benchmark.reliability --only" in output
    assert "Not run: " in output


@pytest.mark.usefixtures("trials")
def test_the_table_has_every_mark_with_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "r.md"
    document.write_text("<!-- fifteen -->\n<!-- end of fifteen -->\n")
    assert suite.main(["--write", str(document)]) == 1
    written = document.read_text()
    assert "| 1 t: p99 | ≤ 100 ms | 99 ms | pass |" in written
    assert "| 1 t: note | - | all | - |" in written
    assert "| 1 t: b | 0 | no GPU | not measured |" in written
    assert "| 2 t: failures | ≤ 0 | 1 | FAIL |" in written
    assert "| 3 t: ran to its end | yes | OSError('no port') | FAIL |" in written
    assert written.split("\n", 1)[1].startswith(capsys.readouterr().out.strip()[:40])


def test_a_document_without_the_part_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "r.md"
    document.write_text("# Nothing\n")
    with pytest.raises(ValueError, match="has no <!-- soak -->"):
        insert(document, "soak", "text")
    assert document.read_text() == "# Nothing\n"


def test_the_published_document_has_all_its_parts_and_lists_every_test(tmp_path: Path) -> None:
    document = tmp_path / "r.md"
    document.write_text((ROOT / "RELIABILITY.md").read_text())
    for part in ("fifteen", "soak", "leak"):
        insert(document, part, table([at_most("x", 0, 0)]))
    text = document.read_text()
    assert [f"| {trial.number} " in text for trial in suite.TRIALS] == [True] * 16


def test_a_report_of_pytest_is_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite><testcase name='a' time='0.5'/>"
        "<testcase name='b' time='2.5'><failure/></testcase>"
        "<testcase name='c' time='0'><skipped/></testcase></testsuite></testsuites>"
    )
    counted = read(report)
    assert (counted.passed, counted.failed, counted.skipped, counted.longest_s) == (1, 1, 1, 2.5)
    assert counted.figure == "1 tests pass, 1 fail, 1 skipped: b; the longest takes 2.5 s"


def test_the_row_of_the_clients_has_no_count_that_grows_old() -> None:
    last = "168 cells, 1 wrong; openai 3.52.0 for Python"
    assert without_count(last) == "1 wrong; openai 3.52.0 for Python"
    assert without_count("the server did not start") == "the server did not start"
    assert " cells" not in (ROOT / "RELIABILITY.md").read_text()
