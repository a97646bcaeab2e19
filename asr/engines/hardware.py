"""Choose device, dtype and attention kernel by what the machine can do."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch

from asr.capabilities import NO_CUDA
from asr.config.config import Config
from asr.errors import ConfigError

FLASH_ATTENTION_CAPABILITY = (8, 0)  # flash-attn 2 needs this compute capability: Ampere.
BFLOAT16_CAPABILITY = (8, 0)  # GPUs below this compute capability are slow in bfloat16.
BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # A CPU with one multiplies in bfloat16.


@dataclass(frozen=True)
class Machine:
    """What the machine can do: the choice depends on it."""

    gpu_name: str | None  # None: no usable GPU
    capability: tuple[int, int] | None
    has_flash_attention: bool
    has_bfloat16: bool = False  # The CPU multiplies in bfloat16.

    @classmethod
    def probe(cls, device: str = "auto") -> Machine:
        """Ask torch about the machine; `device` as in the setting DEVICE."""
        has_flash_attention = importlib.util.find_spec("flash_attn") is not None
        if device == "cpu" or not torch.cuda.is_available():
            flags = torch.cpu.get_capabilities()
            has_bfloat16 = any(flags.get(name) for name in BFLOAT16_FLAGS)
            return cls(None, None, has_flash_attention, has_bfloat16)
        index = int(device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise ConfigError(
                f"DEVICE={device!r} does not exist: CUDA has {torch.cuda.device_count()} GPU(s)"
            )
        return cls(
            torch.cuda.get_device_name(index),
            torch.cuda.get_device_capability(index),
            has_flash_attention,
        )


@dataclass(frozen=True)
class Hardware:
    """The chosen device, dtype and attention kernel, and why."""

    device: str  # as torch names it
    dtype: torch.dtype
    attention: str  # as Transformers names it
    device_name: str  # for the X-GPU-Name header
    reason: str  # one line for logs and for /hc?verbose=1
    quantizes: bool = False  # Matrices are int8; `dtype` is that of all other numbers.

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)


def choose(config: Config, machine: Machine, has_int8: bool = False) -> Hardware:
    """Choose by the settings and what the machine can do.

    Args:
        has_int8: the engine can quantize its matrices on a CPU.

    Raises:
        ConfigError: the settings ask for a GPU and there is none.
    """
    if config.device.startswith("cuda") and machine.gpu_name is None:
        raise ConfigError(f"DEVICE={config.device!r} but CUDA is not available; use auto or cpu")
    device = "cpu" if machine.gpu_name is None else _cuda_device(config.device)
    named, dtype_reason = _dtype(config.dtype, machine, has_int8)
    quantizes = named == "int8"
    dtype: torch.dtype = torch.float32 if quantizes else getattr(torch, named)
    attention, attention_reason = _attention(config.flash_attention_2, dtype, machine)
    name = machine.gpu_name or NO_CUDA
    if machine.capability is not None:
        name_and_capability = f"{name}, compute capability {_dotted(machine.capability)}"
    else:
        name_and_capability = name
    reason = (
        f"{device} ({name_and_capability}); {named} ({dtype_reason}); "
        f"{attention} ({attention_reason})"
    )
    return Hardware(device, dtype, attention, name, reason, quantizes)


def _cuda_device(asked: str) -> str:
    return "cuda:0" if asked in {"auto", "cuda"} else asked


def _dtype(asked: str, machine: Machine, has_int8: bool) -> tuple[str, str]:
    """Return the number format's name, which may be `int8`, and the reason."""
    if asked == "auto":
        if machine.gpu_name is None:
            hint = "; DTYPE=bfloat16 is faster on this CPU" if machine.has_bfloat16 else ""
            return "float32", f"exact on a CPU{hint}"
        return "float16", "fastest on a GPU"
    if asked == "int8" and machine.gpu_name is not None:
        return "float16", "DTYPE=int8 is for CPUs"
    if asked == "int8" and not has_int8:
        return "float32", "DTYPE=int8 has an effect only with ENGINE=whisper"
    if asked == "bfloat16" and machine.capability and machine.capability < BFLOAT16_CAPABILITY:
        return "float16", "bfloat16 needs compute capability 8.0"
    if asked == "float16" and machine.gpu_name is None:
        return "float32", "float16 is slow on a CPU"
    return asked, "chosen by DTYPE"


def _attention(asked: bool, dtype: torch.dtype, machine: Machine) -> tuple[str, str]:
    if not asked:
        return "sdpa", "PyTorch's own, successor of BetterTransformer"
    if machine.capability is None:
        return "sdpa", "FLASH_ATTENTION_2=1 needs a GPU"
    if machine.capability < FLASH_ATTENTION_CAPABILITY:
        return "sdpa", (
            f"FLASH_ATTENTION_2=1 needs compute capability 8.0, "
            f"this GPU has {_dotted(machine.capability)}"
        )
    if not machine.has_flash_attention:
        return "sdpa", "FLASH_ATTENTION_2=1 but flash-attn is not installed"
    if dtype == torch.float32:
        return "sdpa", "FLASH_ATTENTION_2=1 needs float16 or bfloat16"
    return "flash_attention_2", "chosen by FLASH_ATTENTION_2=1"


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
