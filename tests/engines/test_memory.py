"""Free memory of a machine or its container, and which errors mean a lack of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr.engines.memory import free_bytes, is_fatal, lacks_memory
from asr.resources import container_memory, cpu

CPU = torch.device("cpu")


def test_free_memory_is_the_machines_or_what_its_container_may_still_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert free_bytes(CPU) > 2**20
    monkeypatch.setattr(container_memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(cpu, "CGROUP", tmp_path)
    assert free_bytes(CPU) == 4 * 2**30
    (tmp_path / "meminfo").write_text("MemTotal:   9000 kB\nMemAvailable:   5000 kB\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(CPU) == 5000 * 1024
    (tmp_path / "memory.max").write_text("4000000\n")
    assert free_bytes(CPU) == 1_000_000
    (tmp_path / "memory.stat").write_text("anon 2000000\ninactive_file 500000\n")
    assert free_bytes(CPU) == 1_500_000
    (tmp_path / "memory.max").write_text("1000000\n")
    assert free_bytes(CPU) == 0


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), False),
    ],
)
def test_a_lack_of_memory_has_many_names(error: RuntimeError, is_memory: bool) -> None:
    assert lacks_memory(error) is is_memory


def test_a_lost_gpu_ends_the_engine_and_a_lack_of_memory_does_not() -> None:
    assert is_fatal(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_fatal(torch.OutOfMemoryError())
    assert not is_fatal(torch.AcceleratorError("CUDA error: out of memory"))
