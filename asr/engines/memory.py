"""Free memory of a device, and which errors mean a lack of it or a lost GPU."""

from __future__ import annotations

import torch

from asr.resources import container_memory

OUT_OF_MEMORY = (  # An error with one of these texts is a lack of memory, whatever its type.
    "can't allocate memory",  # the host's
    "CUDA error: out of memory",  # the driver's
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def free_bytes(device: torch.device) -> int:
    """Return the memory that can still be taken: the GPU's, or the container's."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what loading has left behind
        return int(torch.cuda.mem_get_info(device)[0])
    return container_memory.available()


def lacks_memory(error: RuntimeError) -> bool:
    """Return whether less of the same work may succeed."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(each in text for each in OUT_OF_MEMORY)


def is_fatal(error: BaseException) -> bool:
    """Return whether the GPU cannot be used any more after `error`."""
    if isinstance(error, RuntimeError) and lacks_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)
