"""Random models of each published shape, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from asr.engines.whisper.kernels import library
from asr.engines.whisper.model import int8
from tests.support import models
from tests.support.twins import Twins


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "both_forms: runs with keys and values kept, and with the encoder's output kept"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize tests of the decoder with both forms of the encoder's output."""
    is_marked = metafunc.definition.get_closest_marker("both_forms") is not None
    if "keeps_encoder_output" in metafunc.fixturenames and is_marked:
        forms = {"keys and values": False, "whole": True}
        metafunc.parametrize(
            "keeps_encoder_output", forms.values(), ids=forms, indirect=True, scope="session"
        )


@pytest.fixture(scope="session")
def keeps_encoder_output(request: pytest.FixtureRequest) -> bool:
    """Whether the slots keep the encoder's output, not keys and values of every layer."""
    return bool(getattr(request, "param", False))


@pytest.fixture(scope="session", params=models.SHAPES)
def twins(request: pytest.FixtureRequest, keeps_encoder_output: bool) -> Twins:
    return Twins.of(models.SHAPES[request.param], keeps_encoder_output=keeps_encoder_output)


@pytest.fixture(scope="session")
def tiny(keeps_encoder_output: bool) -> Twins:
    return Twins.of(models.TINY, keeps_encoder_output=keeps_encoder_output)


@pytest.fixture(scope="session")
def wide_heads() -> Twins:
    """A model whose heads have 64 numbers, as all published ones: the kernels are for these."""
    return Twins.of(models.WIDE_HEADS)


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is computed where there is no compiler, or a CPU that has no use for the kernels."""
    int8._levels.cache_clear()
    monkeypatch.setattr(library, "library", lambda: None)
    monkeypatch.setattr(library, "encodes", lambda: False)
    yield
    int8._levels.cache_clear()


@pytest.fixture(scope="session")
def endless(keeps_encoder_output: bool) -> Twins:
    """A model that never writes the end of text."""
    return Twins.of(models.TINY, ends=False, keeps_encoder_output=keeps_encoder_output)


@pytest.fixture(autouse=True)
def _same_chance() -> None:
    torch.manual_seed(0)
