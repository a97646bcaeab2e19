"""What is said where a package is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("module", ["accuracy", "engines", "gpu", "load", "load.first_words"])
def test_a_command_without_its_packages_names_the_remedy_in_one_line(module: str) -> None:
    bare = [sys.executable, "-S", "-m", f"benchmark.{module}"]  # no package is found
    ended = subprocess.run(bare, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "is not installed in" in line
    assert "pip install -r requirements-dev.txt" in line


def test_a_module_of_our_own_that_is_missing_keeps_its_traceback() -> None:
    program = "from benchmark import missing_packages as m; m.explain(); import benchmark.nowhere"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Traceback" in ended.stderr
    assert "requirements-dev" not in ended.stderr


@pytest.mark.parametrize("name", ["diarization", "engines", "live"])
def test_a_command_that_is_a_file_runs_from_any_directory(name: str, tmp_path: Path) -> None:
    run = [sys.executable, ROOT / "benchmark" / f"{name}.py", "--help"]
    ended = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout.startswith("usage:"), ended.stderr
