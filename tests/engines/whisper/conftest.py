"""Random models of each published shape, made once."""

from __future__ import annotations

import pytest
import torch

from tests.support import models
from tests.support.twins import Twins

BOTH_FORMS = {
    "test_engine",
    "test_results",
    "test_turns",
    "test_fallback",
    "test_alignment",
    "test_word_timestamps",
    "test_forward",
    "test_gpu",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What tells of the decoder holds for both forms of what it hears."""
    module = metafunc.module.__name__.rpartition(".")[2]
    if "keeps_whole" in metafunc.fixturenames and module in BOTH_FORMS:
        forms = {"keys and values": False, "whole": True}
        metafunc.parametrize(
            "keeps_whole", forms.values(), ids=forms, indirect=True, scope="session"
        )


@pytest.fixture(scope="session")
def keeps_whole(request: pytest.FixtureRequest) -> bool:
    """Whether the slots keep the encoder's output, not keys and values of every layer."""
    return bool(getattr(request, "param", False))


@pytest.fixture(scope="session", params=models.SHAPES)
def twins(request: pytest.FixtureRequest, keeps_whole: bool) -> Twins:
    return Twins.of(models.SHAPES[request.param], keeps_whole=keeps_whole)


@pytest.fixture(scope="session")
def tiny(keeps_whole: bool) -> Twins:
    return Twins.of(models.TINY, keeps_whole=keeps_whole)


@pytest.fixture(scope="session")
def endless(keeps_whole: bool) -> Twins:
    """A model that never writes the end of text."""
    return Twins.of(models.TINY, ends=False, keeps_whole=keeps_whole)


@pytest.fixture(autouse=True)
def _same_chance() -> None:
    torch.manual_seed(0)
