"""Copy tensors between host and device without blocking, through pinned memory and an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def to_device(numbers: Sequence[Any] | npt.NDArray[np.int64], device: torch.device) -> torch.Tensor:
    """Copy numbers to the device without waiting for its work."""
    values = torch.tensor(numbers)
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values


@dataclass(frozen=True)
class HostCopy:
    """A copy of a tensor to the host, which may still run."""

    values: torch.Tensor  # valid once the copy is complete
    copied: torch.cuda.Event | None  # None: the copy is complete

    @classmethod
    def of(cls, values: torch.Tensor) -> HostCopy:
        """Begin the copy, in the order of the device's work."""
        if values.device.type != "cuda":
            return cls(values, None)
        try:
            pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        except RuntimeError:  # no pinned memory: the copy blocks
            return cls(values.cpu(), None)
        pinned.copy_(values, non_blocking=True)
        copied = torch.cuda.Event()
        stream = torch.cuda.current_stream(values.device)  # not the current device's
        copied.record(stream)
        return cls(pinned, copied)

    def wait(self) -> torch.Tensor:
        """Wait for the copy, and for the device's work before it."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.values
