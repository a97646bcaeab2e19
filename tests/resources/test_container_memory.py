"""The memory of a container is read from whatever cgroups it has, and else from the machine."""

from pathlib import Path

import pytest

from asr.resources import container_memory, cpu
from asr.resources.container_memory import available, limit, resident

MIB = 2**20


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8,000 MiB, of which 5,000 are available, and no cgroups."""
    meminfo = f"MemTotal: {8000 * 1024} kB\nMemAvailable: {5000 * 1024} kB\n"
    (tmp_path / "meminfo").write_text(meminfo)
    monkeypatch.setattr(container_memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(container_memory, "OWN_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(cpu, "CGROUP", tmp_path / "cgroup")
    return tmp_path


def group(system: Path, path: str, **files: object) -> None:
    folder = system / "cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_without_a_limit_the_memory_is_the_machines(system: Path) -> None:
    group(system, ".", memory__max="max", memory__current=3000 * MIB)
    assert (limit(), available()) == (8000 * MIB, 5000 * MIB)


def test_on_another_system_some_memory_is_assumed(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_memory, "MEMINFO", system / "nowhere")
    assert limit() == available() == 4 * 2**30


def test_a_limit_of_cgroup_2_counts_and_its_page_cache_does_not(system: Path) -> None:
    stat = f"anon 1\ninactive_file {100 * MIB}\nactive_file {50 * MIB}\nslab 7"
    group(system, ".", memory__max=600 * MIB, memory__current=400 * MIB, memory__stat=stat)
    assert (limit(), available()) == (600 * MIB, 350 * MIB)


def test_memory_high_counts_because_the_kernel_slows_a_process_down_there(system: Path) -> None:
    group(system, ".", memory__max=600 * MIB, memory__high=500 * MIB, memory__current=400 * MIB)
    assert (limit(), available()) == (500 * MIB, 100 * MIB)


def test_a_limit_of_cgroup_1_counts_and_its_page_cache_does_not(system: Path) -> None:
    stat = f"inactive_file 0\ntotal_inactive_file {30 * MIB}\ntotal_active_file {20 * MIB}"
    usage = {"memory__limit_in_bytes": 600 * MIB, "memory__usage_in_bytes": 400 * MIB}
    group(system, "memory", **usage, memory__stat=stat)
    assert (limit(), available()) == (600 * MIB, 250 * MIB)


def test_cgroup_1_without_a_limit_has_a_number_larger_than_any_machine(system: Path) -> None:
    usage = {"memory__limit_in_bytes": 9223372036854771712, "memory__usage_in_bytes": 400 * MIB}
    group(system, "memory", **usage)
    assert (limit(), available()) == (8000 * MIB, 5000 * MIB)


@pytest.mark.parametrize(
    ("line", "root", "names"),
    [
        ("0::/pod/server", ".", ("memory__max", "memory__current")),
        (
            "4:cpu,memory:/pod/server",
            "memory",
            ("memory__limit_in_bytes", "memory__usage_in_bytes"),
        ),
    ],
)
def test_the_tightest_of_nested_groups_counts(
    system: Path, line: str, root: str, names: tuple[str, str]
) -> None:
    (system / "groups").write_text(f"3:cpuset:/\n{line}\n")
    for path, most, used in (("", 4000, 1000), ("pod", 700, 500), ("pod/server", 900, 100)):
        group(system, f"{root}/{path}", **dict(zip(names, (most * MIB, used * MIB), strict=True)))
    assert (limit(), available()) == (700 * MIB, 200 * MIB)


def test_a_container_that_does_not_see_its_place_reads_what_it_sees(system: Path) -> None:
    (system / "groups").write_text("0::/machine.slice/docker-1234.scope\n")
    group(system, ".", memory__max=600 * MIB, memory__current=400 * MIB)
    assert available() == 200 * MIB


def test_a_container_that_is_over_its_limit_has_nothing_left(system: Path) -> None:
    group(system, ".", memory__max=600 * MIB, memory__current=601 * MIB)
    assert available() == 0


def test_this_process_takes_more_than_nothing() -> None:
    assert MIB < resident() < limit()
