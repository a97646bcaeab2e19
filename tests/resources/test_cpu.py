"""How many cores a container leaves, and how many OpenMP uses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asr.resources import cpu
from tests.conftest import ROOT

OF_TORCH = """
import os, pathlib, sys
from asr.resources import cpu
cpu.CGROUP = pathlib.Path(sys.argv[1])
cpu.configure_openmp(os.environ)
import torch
print(torch.get_num_threads(), os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cpu, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    return tmp_path


@pytest.mark.parametrize(
    ("quota", "count"),
    [("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1), ("max 100000", 64)],
)
def test_a_quota_of_the_container_bounds_the_cores(cgroup: Path, quota: str, count: int) -> None:
    (cgroup / "cpu.max").write_text(f"{quota}\n")
    assert cpu.usable() == count


@pytest.mark.parametrize(("quota", "count"), [("400000", 4), ("-1", 64)])
def test_a_quota_of_the_older_kind_bounds_them_too(cgroup: Path, quota: str, count: int) -> None:
    (cgroup / "cpu").mkdir()
    (cgroup / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (cgroup / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu.usable() == count


def test_without_a_quota_the_number_of_threads_is_left_to_torch(cgroup: Path) -> None:
    (cgroup / "cpu.max").write_text("max 100000\n")
    environment: dict[str, str] = {}
    cpu.configure_openmp(environment)
    assert environment == {"GOMP_SPINCOUNT": str(cpu.SPINS)}


def test_what_the_environment_says_already_stays(cgroup: Path) -> None:
    (cgroup / "cpu.max").write_text("100000 100000\n")
    environment = {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "ACTIVE"}
    cpu.configure_openmp(environment)
    assert environment == {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "ACTIVE"}


@pytest.mark.skipif(cpu.usable() < 2, reason="needs two cores")
def test_torch_computes_on_as_many_threads_as_the_quota_has_cores(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    unset = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    environment = {name: text for name, text in os.environ.items() if name not in unset}
    command = [sys.executable, "-c", OF_TORCH, str(tmp_path)]
    said = subprocess.check_output(command, cwd=ROOT, env=environment, text=True)
    assert said.split()[0] == "1"
