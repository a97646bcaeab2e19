"""The kernels are compiled once, whoever asks for them."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from asr.engines.whisper.kernels import build
from tests.conftest import ROOT
from tests.engines.whisper.kernels.conftest import needs_compiler


@needs_compiler
def test_the_library_is_compiled_once(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(copied.iterdir())
    path = build.build()
    assert sorted(copied.iterdir()) == sorted([*before, path])
    monkeypatch.setattr(build, "COMPILER", "false")
    assert build.build() == path
    with (copied / "kernels.c").open("a") as source:
        source.write("/* changed */\n")
    with pytest.raises(subprocess.CalledProcessError):
        build.build()
    assert path.exists()
    monkeypatch.setattr(build, "COMPILER", "cc")
    assert build.build() != path
    assert not path.exists(), "it is of older sources"


def _build(directory: Path) -> Path:
    build.HERE = directory
    return build.build()


@needs_compiler
def test_several_processes_may_compile_it_at_once(copied: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        paths = pool.map(_build, [copied] * 3)
    assert len(set(paths)) == 1
    assert [path.name for path in copied.glob("*.so")] == [paths[0].name]
    assert not list(copied.glob("build-*"))


@needs_compiler
def test_the_command_says_where_it_lies_or_why_not() -> None:
    command = [sys.executable, "-m", "asr.engines.whisper.kernels.build"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == build.compiled()
    assert build.compiled().is_file()
