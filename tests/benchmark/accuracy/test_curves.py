"""The curve of a threshold has a row for each value."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.accuracy import curves
from tests.conftest import Server


def test_each_value_of_a_threshold_has_a_row_with_sounds_and_words(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--server", server.url, "--folder", str(folder), "--most", "1"]
    assert curves.main([*asked, "--values", "-1", "none"]) == 1
    assert "failed: recordings/en/00.flac: 400" in capsys.readouterr().err
    assert curves.main([*asked, "--values", "-1", "-2"]) == 0
    heading, _, *rows = capsys.readouterr().out.splitlines()
    assert heading.startswith("| logprob_threshold | sounds with text | words | WER % ")
    assert [row.split("|")[1].strip() for row in rows] == ["-1", "-2"]


def test_a_folder_without_sounds_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curves.main(["--folder", str(tmp_path)]) == 1
    assert "recordings has no audio" in capsys.readouterr().err
