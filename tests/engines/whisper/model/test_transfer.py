"""Numbers come back from a card also where no memory can be pinned."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from asr.engines.whisper.model.transfer import HostCopy
from tests.support.pretended import CARD, pretending


def test_where_no_memory_can_be_pinned_numbers_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> torch.Tensor:
        raise torch.AcceleratorError("CUDA error: out of memory")

    with pretending():
        values = torch.empty(3, device=CARD)
        monkeypatch.setattr(torch, "empty", refuse)
        found = HostCopy.of(values)
    assert (found.wait().device.type, found.copied) == ("cpu", None)
