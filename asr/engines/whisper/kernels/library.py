"""The compiled kernels, where this machine has them, and the structures that they read.

A structure `C…` has the fields of one in the C sources, in their order.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import subprocess

import torch

from asr.engines.whisper.kernels import build

log = logging.getLogger(__name__)

NEEDED = ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq", "avx512_vnni", "fma3")
CHUNK = 48  # As in matrix.h: so many rows are quantized at once.
POINTER, NUMBER = ctypes.c_void_p, ctypes.c_int64


class CMatrix(ctypes.Structure):
    _fields_ = [
        *((name, POINTER) for name in ("weight", "scales", "offsets", "bias")),
        *((name, NUMBER) for name in ("outputs", "inputs", "zero", "most", "least")),
    ]


class CNorm(ctypes.Structure):
    _fields_ = [("weight", POINTER), ("bias", POINTER), ("epsilon", ctypes.c_float)]


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the library, compiled if need be; None where it cannot be had."""
    if not _has(*NEEDED):
        return None
    try:
        path = build.build()
        # All names at once, and OpenMP's among those that torch has loaded.
        loaded = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        log.info("kernels for int8: %s", path.name)
        return loaded
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip() or str(error)
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(error)
    remedy = "its kernels cannot be compiled; with gcc they can (apt-get install gcc)"
    log.warning("int8 is slower than it could be: %s: %s", remedy, reason)
    return None


def multiplies() -> bool:
    """Return whether the kernels multiply, and decode."""
    return library() is not None


@functools.cache
def encodes() -> bool:
    """Return whether they encode, too, faster than oneDNN.

    A CPU with AMX has units that oneDNN uses, and these kernels do not.
    """
    return _has("avx512_bf16") and not _has("amx_int8") and multiplies()


def _has(*features: str) -> bool:
    capabilities = torch.cpu.get_capabilities()
    return all(capabilities.get(feature) for feature in features)
