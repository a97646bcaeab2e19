"""Choose device, dtype and attention kernel by what the machine can do."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Protocol

import torch

from asr.capabilities import NO_CUDA
from asr.config.config import Config
from asr.errors import ConfigError

FLASH_ATTENTION_CAPABILITY = (8, 0)  # flash-attn 2 needs this compute capability: Ampere.
BFLOAT16_CAPABILITY = (8, 0)  # GPUs below this compute capability are slow in bfloat16.


@dataclass(frozen=True)
class Machine:
    """What the machine can do: the choice depends on it."""

    gpu_name: str | None  # None: no usable GPU
    capability: tuple[int, int] | None
    has_flash_attention: bool

    @classmethod
    def probe(cls, device: str = "auto") -> Machine:
        """Ask torch about the machine; `device` as in the setting DEVICE."""
        has_flash_attention = importlib.util.find_spec("flash_attn") is not None
        if device == "cpu" or not torch.cuda.is_available():
            return cls(None, None, has_flash_attention)
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
class ChosenFormat:
    """A number format, and why it was chosen."""

    name: str  # float32, float16, bfloat16 or int8
    reason: str


class CpuFormats(Protocol):
    """Tells which number formats an engine has on a CPU."""

    def supports(self, name: str, /) -> bool:
        """Whether the engine multiplies in this format here, and not by a detour."""
        ...

    def fastest(self) -> ChosenFormat:
        """Return the fastest format whose text is as good as that of float32."""
        ...


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


def choose(config: Config, machine: Machine, formats: CpuFormats | None = None) -> Hardware:
    """Choose by the settings and what the machine can do.

    Args:
        formats: what the engine has on a CPU; None: float32, and bfloat16 at any speed.

    Raises:
        ConfigError: the settings ask for a GPU and there is none.
    """
    if config.device.startswith("cuda") and machine.gpu_name is None:
        raise ConfigError(f"DEVICE={config.device!r} but CUDA is not available; use auto or cpu")
    device = "cpu" if machine.gpu_name is None else _cuda_device(config.device)
    number_format = _number_format(config.dtype, machine, formats)
    quantizes = number_format.name == "int8"
    dtype: torch.dtype = torch.float32 if quantizes else getattr(torch, number_format.name)
    attention, attention_reason = _attention(config.flash_attention_2, dtype, machine)
    name = machine.gpu_name or NO_CUDA
    if machine.capability is not None:
        name_and_capability = f"{name}, compute capability {_dotted(machine.capability)}"
    else:
        name_and_capability = name
    reason = (
        f"{device} ({name_and_capability}); {number_format.name} ({number_format.reason}); "
        f"{attention} ({attention_reason})"
    )
    return Hardware(device, dtype, attention, name, reason, quantizes)


def _cuda_device(asked: str) -> str:
    return "cuda:0" if asked in {"auto", "cuda"} else asked


def _number_format(asked: str, machine: Machine, formats: CpuFormats | None) -> ChosenFormat:
    if machine.gpu_name is None:
        return _on_cpu(asked, formats)
    if asked == "auto":
        return ChosenFormat("float16", "fastest on a GPU")
    if asked == "int8":
        return ChosenFormat("float16", "DTYPE=int8 is for CPUs")
    if asked == "bfloat16" and machine.capability and machine.capability < BFLOAT16_CAPABILITY:
        return ChosenFormat("float16", "bfloat16 needs compute capability 8.0")
    return ChosenFormat(asked, "chosen by DTYPE")


def _on_cpu(asked: str, formats: CpuFormats | None) -> ChosenFormat:
    if asked == "float16":
        return ChosenFormat("float32", "float16 is slow on a CPU")
    if formats is None:
        if asked == "int8":
            return ChosenFormat("float32", "DTYPE=int8 has an effect only with ENGINE=whisper")
        if asked == "auto":
            return ChosenFormat("float32", "exact on a CPU")
        return ChosenFormat(asked, "chosen by DTYPE")
    if asked == "auto":
        return formats.fastest()
    if not formats.supports(asked):
        if asked == "int8":
            return ChosenFormat("float32", "this CPU or this torch has no products in int8")
        return ChosenFormat(asked, f"chosen by DTYPE; this CPU has no products in {asked}: slow")
    return ChosenFormat(asked, "chosen by DTYPE")


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
