"""Imitate tensors on a graphics card, and record operations that leave it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CARD = torch.device("cuda", 1)  # Tensors claim to be on this device, which is not the current one.

# These methods ask for a driver before they are dispatched; their operators do not.
GUARDED: dict[Any, Any] = {
    torch.Tensor.copy_: torch.ops.aten.copy_,
    torch.Tensor.__invert__: torch.ops.aten.bitwise_not,
    torch.Tensor.contiguous: torch.ops.aten.contiguous,
    torch.Tensor.cpu: lambda x: torch.ops.aten.to.device(x, "cpu", x.dtype),
    torch.Tensor.nonzero: torch.ops.aten.nonzero,
    torch.Tensor.float: lambda x: torch.ops.aten.to.dtype(x, torch.float32),
    torch.Tensor.half: lambda x: torch.ops.aten.to.dtype(x, torch.float16),
}


class OnCard(TorchFunctionMode):
    """Lets a torch without CUDA index such tensors, and pins no memory."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any | None = None
    ) -> Any:
        given = dict(kwargs or {})
        given.pop("pin_memory", None)
        if func is torch.Tensor.pin_memory:
            return args[0]
        if func is torch.Tensor.__getitem__:
            return picked(*args)
        if func is torch.Tensor.__setitem__:
            return torch.ops.aten.copy_(picked(*args[:2]), args[2])
        return GUARDED.get(func, func)(*args, **given)


def picked(x: torch.Tensor, index: Any) -> torch.Tensor:
    """Return `x[index]` without asking for a driver."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in [part for part in parts if not isinstance(part, torch.Tensor)]:
        parts[:1] = [slice(None)] * (x.ndim - len(parts) + 1)  # it comes first
    places: list[torch.Tensor | None] = []
    dimension = 0
    for part in parts:
        if isinstance(part, int):
            x = x.select(dimension, part)
            continue
        if part is None:
            x = x.unsqueeze(dimension)
        elif isinstance(part, slice):
            x = torch.ops.aten.slice.Tensor(x, dimension, part.start, part.stop, part.step or 1)
        places.append(part if isinstance(part, torch.Tensor) else None)
        dimension += 1
    if all(place is None for place in places):
        return x
    return torch.ops.aten.index.Tensor(x, places)


class Devices(TorchDispatchMode):
    """Counts operations, and records those with a tensor off the card."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        self.count += 1
        tensors = [t for t in tree_leaves((args, kwargs, output)) if isinstance(t, torch.Tensor)]
        if any(tensor.device != CARD for tensor in tensors):
            self.elsewhere.append(str(func))
        return output


@contextmanager
def pretending() -> Iterator[FakeTensorMode]:
    with torch.no_grad(), FakeTensorMode() as mode, OnCard():
        yield mode


def moved(part: Any, dtype: torch.dtype) -> Any:
    """Return `part` with every tensor in it replaced by one on the card.

    Floating-point tensors become `dtype`.
    """
    if isinstance(part, torch.Tensor):
        kind = dtype if part.dtype.is_floating_point else part.dtype
        return torch.empty(part.shape, dtype=kind, device=CARD)
    if isinstance(part, tuple):
        return tuple(moved(each, dtype) for each in part)
    if is_dataclass(part) and not isinstance(part, type):
        named = {each.name: moved(getattr(part, each.name), dtype) for each in fields(part)}
        return replace(part, **named)
    return part
