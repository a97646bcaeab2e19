"""Device, dtype and attention for a table of machines, none of which is needed."""

from dataclasses import dataclass

import pytest
import torch

from asr.config.config import Config
from asr.engines.hardware import ChosenFormat, Machine, choose
from asr.errors import ConfigError

NO_GPU = Machine(None, None, has_flash_attention=True)


def gpu(capability, has_flash_attention=True):
    return Machine("NVIDIA Test", capability, has_flash_attention)


@pytest.mark.parametrize(
    "capability",
    [
        pytest.param((8, 0), id="A100"),
        pytest.param((8, 6), id="RTX 3080 Ti"),
        pytest.param((8, 9), id="RTX 4090"),
        pytest.param((9, 0), id="H200"),
        pytest.param((12, 0), id="RTX 5090"),
    ],
)
def test_flash_attention_is_used_where_it_is_asked_installed_and_possible(capability):
    assert choose(Config(flash_attention_2=True), gpu(capability)).attention == "flash_attention_2"
    assert choose(Config(), gpu(capability)).attention == "sdpa"


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        (gpu((7, 5)), "needs compute capability 8.0, this GPU has 7.5"),
        (gpu((9, 0), has_flash_attention=False), "flash-attn is not installed"),
        (NO_GPU, "needs a GPU"),
    ],
)
def test_otherwise_sdpa_is_used_and_the_reason_given(machine, why):
    chosen = choose(Config(flash_attention_2=True), machine)
    assert chosen.attention == "sdpa"
    assert why in chosen.reason


def test_float32_has_no_flash_attention():
    chosen = choose(Config(flash_attention_2=True, dtype="float32"), gpu((9, 0)))
    assert chosen.attention == "sdpa"


@pytest.mark.parametrize(
    ("dtype", "machine", "expected"),
    [
        ("auto", NO_GPU, torch.float32),
        ("auto", gpu((7, 0)), torch.float16),
        ("auto", gpu((9, 0)), torch.float16),
        ("bfloat16", gpu((7, 5)), torch.float16),
        ("bfloat16", gpu((8, 0)), torch.bfloat16),
        ("bfloat16", NO_GPU, torch.bfloat16),
        ("float16", NO_GPU, torch.float32),
        ("float32", gpu((9, 0)), torch.float32),
    ],
)
def test_the_dtype_is_what_is_asked_where_the_machine_is_good_at_it(dtype, machine, expected):
    assert choose(Config(dtype=dtype), machine).dtype is expected


@dataclass(frozen=True)
class Formats:
    """Stands for an engine with these number formats on a CPU, of which the last is fastest."""

    names: tuple[str, ...] = ("float32", "bfloat16", "int8")

    def supports(self, name):
        return name in self.names

    def fastest(self):
        return ChosenFormat(self.names[-1], "measured: 201 GFLOP/s, float32 80")


@pytest.mark.parametrize(
    ("asked", "formats", "dtype", "quantizes", "why"),
    [
        ("int8", Formats(), torch.float32, True, "int8 (chosen by DTYPE)"),
        ("auto", Formats(), torch.float32, True, "int8 (measured: 201 GFLOP/s, float32 80)"),
        ("auto", Formats(("float32",)), torch.float32, False, "float32 (measured: "),
        ("auto", Formats(("float32", "bfloat16")), torch.bfloat16, False, "bfloat16 (measured: "),
        ("auto", None, torch.float32, False, "float32 (exact on a CPU)"),
        ("float32", Formats(), torch.float32, False, "float32 (chosen by DTYPE)"),
        ("float16", Formats(), torch.float32, False, "float32 (float16 is slow on a CPU)"),
        ("bfloat16", Formats(), torch.bfloat16, False, "bfloat16 (chosen by DTYPE)"),
        ("bfloat16", Formats(("float32",)), torch.bfloat16, False, "no products in bfloat16: slow"),
        ("bfloat16", None, torch.bfloat16, False, "bfloat16 (chosen by DTYPE)"),
        ("int8", None, torch.float32, False, "float32 (DTYPE=int8 has an effect only with ENGINE="),
        ("int8", Formats(("float32",)), torch.float32, False, "this torch has no products in int8"),
    ],
)
def test_on_a_cpu_the_format_is_one_that_the_engine_has_there(
    asked, formats, dtype, quantizes, why
):
    chosen = choose(Config(dtype=asked), NO_GPU, formats)
    assert (chosen.dtype, chosen.quantizes) == (dtype, quantizes)
    assert why in chosen.reason


def test_int8_is_for_cpus():
    chosen = choose(Config(dtype="int8"), gpu((9, 0)), Formats())
    assert (chosen.dtype, chosen.quantizes) == (torch.float16, False)
    assert "float16 (DTYPE=int8 is for CPUs)" in chosen.reason


def test_on_a_gpu_nothing_is_measured():
    assert choose(Config(), gpu((9, 0)), Formats()).dtype is torch.float16


@pytest.mark.parametrize(
    ("asked", "device"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:3", "cuda:3")]
)
def test_the_device_is_the_one_asked_for(asked, device):
    assert choose(Config(device=asked), gpu((9, 0))).device == device


def test_without_a_gpu_the_cpu_is_used_and_the_header_says_so():
    chosen = choose(Config(), NO_GPU)
    assert (chosen.device, chosen.device_name) == ("cpu", "CUDA is not available")


def test_a_gpu_that_is_asked_for_and_missing_stops_the_start():
    with pytest.raises(ConfigError, match="CUDA is not available"):
        choose(Config(device="cuda"), NO_GPU)


def test_the_real_machine_can_be_probed():
    machine = Machine.probe("cpu")
    assert machine.gpu_name is None
