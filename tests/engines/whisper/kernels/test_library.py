"""Without the library the model runs all the same; with it, the CPU decides what is used of it."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from asr.engines.whisper.kernels import build, library
from asr.engines.whisper.model.weights import Packing, linear, make_linear
from tests.engines.whisper.kernels.conftest import needs_compiler

CAPABLE = all(torch.cpu.get_capabilities().get(feature) for feature in library.NEEDED)

needs_cpu = pytest.mark.skipif(not CAPABLE, reason="this CPU has no use for the kernels")


@needs_cpu
@needs_compiler
@pytest.mark.usefixtures("copied")
def test_the_library_needs_no_openmp_of_its_own() -> None:
    """A second one in the process would start threads of its own."""
    with Path("/proc/self/maps").open() as maps:
        before = {line.split()[-1] for line in maps if "gomp" in line or "omp.so" in line}
    ctypes.CDLL(str(build.build()), mode=os.RTLD_NOW)
    with Path("/proc/self/maps").open() as maps:
        after = {line.split()[-1] for line in maps if "gomp" in line or "omp.so" in line}
    assert after == before


@needs_cpu
@pytest.mark.parametrize(
    ("breaks", "said"), [("missing", "No such file"), ("refused", "an error in the source")]
)
def test_without_the_library_torch_multiplies_and_the_log_says_why(
    copied: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    breaks: str,
    said: str,
) -> None:
    monkeypatch.setattr(build, "COMPILER", "/nowhere/cc")
    if breaks == "refused":
        compiler = copied / "refuses"
        compiler.write_text("#!/bin/sh\necho 'an error in the source' >&2\nexit 1\n")
        compiler.chmod(0o755)
        monkeypatch.setattr(build, "COMPILER", str(compiler))
    found = library.library.__wrapped__()
    assert found is None
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert said in record.getMessage()


@pytest.mark.usefixtures("without_kernels")
@torch.inference_mode()
def test_without_the_library_products_are_as_exact() -> None:
    matrix, x = torch.randn(96, 64), torch.randn(5, 64)
    expected = x @ matrix.T
    found = linear(x, make_linear(matrix, None, Packing.INT8, has_few_rows=True))
    assert (found - expected).norm() < 0.03 * expected.norm()


@pytest.fixture
def capabilities(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bool]]:
    """What the CPU has, which a test may change."""
    pretended = dict.fromkeys((*library.NEEDED, "avx512_bf16"), True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: pretended)
    monkeypatch.setattr(library, "library", lambda: object())
    library.encodes.cache_clear()
    yield pretended
    library.encodes.cache_clear()


@pytest.mark.usefixtures("capabilities")
def test_the_encoder_has_kernels_where_nothing_is_faster() -> None:
    assert library.encodes()


@pytest.mark.parametrize(("feature", "has"), [("amx_int8", True), ("avx512_bf16", False)])
def test_the_encoder_is_left_to_onednn(
    capabilities: dict[str, bool], feature: str, has: bool
) -> None:
    capabilities[feature] = has
    assert not library.encodes()
    assert library.multiplies()


@pytest.mark.parametrize("feature", library.NEEDED)
def test_a_cpu_that_lacks_a_feature_has_no_library(
    monkeypatch: pytest.MonkeyPatch, feature: str
) -> None:
    pretended = dict.fromkeys(library.NEEDED, True) | {feature: False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: pretended)
    monkeypatch.setattr(build, "build", lambda: pytest.fail("compiled for nobody"))
    assert library.library.__wrapped__() is None
