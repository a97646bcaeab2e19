"""What CI does about the images, with stand-ins for `make` and `docker`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def ci(tmp_path: Path):
    """Run `.ci/run` where `docker info`, `make test` and `make test-images` end as given."""

    def run(docker: int, test: int = 0, images: int = 0) -> subprocess.CompletedProcess[str]:
        programs = {
            "docker": f"echo 'no daemon here' >&2; exit {docker}",
            "make": f"echo make $*; [ $1 = test ] && exit {test}; exit {images}",
        }
        for name, script in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        return subprocess.run(
            [ROOT / ".ci" / "run"],
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
        )

    return run


def test_without_a_docker_engine_the_images_are_left_out_and_ci_says_so(ci):
    ended = ci(docker=1)
    assert ended.returncode == 0
    assert ended.stdout == (
        "make test\nthe images are not tested, no Docker engine runs: no daemon here\n"
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
