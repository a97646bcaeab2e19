"""Weights of heads of 64 numbers, as the kernels want them, and the kernels' sources."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from asr.engines.whisper.kernels import build
from asr.engines.whisper.kernels.decoder import DecoderKernel
from asr.engines.whisper.model.weights import Weights
from tests.support import models
from tests.support.twins import Twins

needs_compiler = pytest.mark.skipif(
    not (shutil.which("cc") and build.is_possible()), reason="no C compiler for x86-64"
)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    torch.get_num_threads()  # A thread's first call sets its number: not within a limit.
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def exact(wide_heads: Twins) -> Weights:
    return wide_heads.checkpoint.weights


@pytest.fixture(scope="module")
def loaded(wide_heads: Twins) -> Weights:
    loaded = models.checkpoint(wide_heads.model, wide_heads.shape, quantizes=True).weights
    assert isinstance(loaded.decoder.kernel, DecoderKernel)
    return loaded


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources alone, in a directory of their own."""
    for source in build.HERE.glob("*.[ch]"):
        shutil.copy(source, tmp_path)
    monkeypatch.setattr(build, "HERE", tmp_path)
    return tmp_path
