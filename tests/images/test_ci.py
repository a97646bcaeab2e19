"""What CI does, with stand-ins for all that it runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def ci(tmp_path: Path):
    """Run a copy of `.ci/run` with stand-ins that end as given; `model` is what makes one."""

    def run(
        docker: int = 1,
        test: int = 0,
        images: int = 0,
        model: int | None = None,
        real: int = 0,
        web: int = 0,
        installed: int = 0,
        lacks: Sequence[str] = (),
        user: int = 0,
    ) -> subprocess.CompletedProcess[str]:
        root = tmp_path / "project"
        (root / ".ci").mkdir(parents=True, exist_ok=True)
        (root / ".ci" / "run").write_bytes((ROOT / ".ci" / "run").read_bytes())
        codes = f"test) exit {test};; real) exit {real};; test-images) exit {images};;"
        codes += f" test-web) exit {web};; .cache/web-tests/installed) exit {installed};;"
        where = "$WHISPER_CHECKPOINT $SPEECH_FOLDER"
        programs = {
            "bin/apt-get": "exit 100",
            "bin/chromium": "exit 1",
            "bin/id": f"echo {user}",
            "bin/docker": f"echo 'no daemon here' >&2; exit {docker}",
            "bin/make": f'echo make $*; [ $1 = real ] && echo "{where}"; case $1 in {codes} esac',
        }
        if model is not None:
            programs["tools/whisper-base"] = f"exit {model}"
        for name, script in programs.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        for name in lacks:
            (tmp_path / "bin" / name).unlink()
        for name in ("dirname", "timeout"):
            real_one = shutil.which(name)
            assert real_one
            (tmp_path / "bin" / name).unlink(missing_ok=True)
            (tmp_path / "bin" / name).symlink_to(real_one)
        return subprocess.run(
            [shutil.which("bash") or "bash", root / ".ci" / "run"],
            env={"SPEECH_FOLDER": ""}
            | os.environ
            | {"PATH": str(tmp_path / "bin"), "SPEECH_TOOLS": str(tmp_path / "tools")},
            capture_output=True,
            text=True,
        )

    return run


def test_without_a_docker_engine_the_images_are_left_out_and_ci_says_so(ci):
    ended = ci(docker=1)
    assert ended.returncode == 0
    assert ended.stdout.startswith("make test\n")
    assert ended.stdout.endswith(
        "the images are not tested, no Docker engine runs: no daemon here\n"
    )


@pytest.mark.parametrize(("images", "code"), [(0, 0), (2, 1), (124, 0)])
def test_with_a_docker_engine_the_images_are_tested_in_the_time_there_is(ci, images, code):
    ended = ci(docker=0, images=images)
    assert "make test-images ARGS=--if-possible\n" in ended.stdout
    assert ended.returncode == code
    assert ("takes more than" in ended.stdout) == (images == 124)


def test_when_the_tests_fail_nothing_else_is_tried(ci):
    ended = ci(docker=0, test=2)
    assert ended.returncode == 2
    assert ended.stdout == "make test\n"


def test_the_page_is_tested_behind_real_speech(ci):
    ended = ci(model=0)
    made = ended.stdout.splitlines()
    assert made[0] == "make test"
    assert made[1] == "make real ARGS=--exitfirst"
    assert made[3] == "make test-web ARGS=--exitfirst"
    assert ended.returncode == 0


@pytest.mark.parametrize(("web", "code", "runs"), [(0, 0, 1), (2, 1, 2), (124, 0, 1)])
def test_a_failure_of_the_page_that_comes_twice_fails_ci(ci, web, code, runs):
    ended = ci(web=web)
    assert ended.returncode == code
    assert ended.stdout.count("make test-web ") == runs
    assert ("the page is not tested to the end: that takes more" in ended.stdout) == (web == 124)
    assert ("a test of the page failed in attempt 2 of 2" in ended.stdout) == (web == 2)


@pytest.mark.parametrize("how", [{"user": 1000}, {"lacks": ["chromium", "apt-get"]}])
def test_without_a_browser_and_a_way_to_get_it_ci_says_so(ci, how):
    ended = ci(**{"lacks": ["chromium"]} | how)
    assert "the page is not tested: there is no Chromium, and it cannot be " in ended.stdout
    assert "make test-web" not in ended.stdout
    assert ended.returncode == 0


def test_a_browser_that_is_there_needs_no_root(ci):
    assert "make test-web" in ci(user=1000).stdout


def test_where_the_browser_cannot_be_installed_ci_says_so(ci):
    ended = ci(lacks=["chromium"], installed=2)
    assert "the page is not tested: its browser or playwright cannot be installed" in ended.stdout
    assert "make test-web" not in ended.stdout
    assert ended.returncode == 0
    assert "make test-web" in ci(lacks=["chromium"]).stdout


def test_without_the_tools_that_make_a_model_real_speech_is_left_out_and_ci_says_so(ci):
    assert "real speech is not tested: there is no " in ci().stdout
    ended = ci(model=1)
    assert "real speech is not tested: its model cannot be made\n" in ended.stdout
    assert ended.returncode == 0
    assert "make real" not in ended.stdout


def test_with_the_tool_real_speech_is_tested(ci, tmp_path):
    made = tmp_path / "project" / ".cache" / "real"
    ended = ci(model=0)
    assert f"make real ARGS=--exitfirst\n{made}/whisper-base/transformers \n" in ended.stdout
    assert ended.returncode == 0
    assert ci(model=0, real=2).returncode == 1
    assert ci(model=0, real=124).returncode == 0


def test_recordings_are_tested_where_a_folder_is_named(ci, monkeypatch):
    monkeypatch.setenv("SPEECH_FOLDER", "/speech")
    assert "/whisper-base/transformers /speech\n" in ci(model=0).stdout


def test_where_it_would_have_to_start_an_engine_the_proof_ends_well_when_asked_to(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.images.proof", "--if-possible"],
        cwd=ROOT,
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (
        0,
        "the images are not tested: no Docker engine runs\n",
    )
