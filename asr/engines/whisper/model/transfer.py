"""Numbers on their way to the model's device and back: nobody waits for them meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def sent(numbers: Sequence[Any] | npt.NDArray[np.int64], device: torch.device) -> torch.Tensor:
    """Numbers on the device, without waiting for what it is doing."""
    found = torch.tensor(numbers)
    return found.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else found


@dataclass(frozen=True)
class HostCopy:
    """Numbers on their way to the host."""

    values: torch.Tensor  # to be read once they are there
    copied: torch.cuda.Event | None  # None: they were there from the start

    @classmethod
    def of(cls, values: torch.Tensor) -> HostCopy:
        """Send them off, in the order of their device's work."""
        if values.device.type != "cuda":
            return cls(values, None)
        try:
            pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        except RuntimeError:  # no memory for it: the copy is waited for
            return cls(values.cpu(), None)
        pinned.copy_(values, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record(torch.cuda.current_stream(values.device))  # whichever is current else
        return cls(pinned, copied)

    def arrived(self) -> torch.Tensor:
        """Wait for the copy, and for what the device had to do before."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.values
