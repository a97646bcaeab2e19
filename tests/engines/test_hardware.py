"""Device, dtype and attention for a table of machines, none of which is needed."""

import pytest
import torch

from asr.config.config import Config
from asr.engines.hardware import Machine, choose
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


def test_a_processor_that_multiplies_in_bfloat16_is_known():
    able = Machine(None, None, has_flash_attention=False, has_bfloat16=True)
    assert "DTYPE=bfloat16 is faster" in choose(Config(), able).reason
    assert "DTYPE=bfloat16" not in choose(Config(dtype="bfloat16"), able).reason
    assert "DTYPE=bfloat16" not in choose(Config(), NO_GPU).reason


def test_what_the_processor_can_do_is_found_out(monkeypatch):
    for flags, expected in (({"avx512_bf16": True}, True), ({"avx2": True, "bf16": False}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags)
        assert Machine.probe("cpu").has_bfloat16 is expected


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


def test_int8_is_used_on_a_cpu_by_an_engine_that_has_it():
    chosen = choose(Config(dtype="int8"), NO_GPU, has_int8=True)
    assert (chosen.quantizes, chosen.dtype) == (True, torch.float32)
    assert "int8 (chosen by DTYPE)" in chosen.reason


@pytest.mark.parametrize(
    ("machine", "has_int8", "dtype", "why"),
    [
        (NO_GPU, False, torch.float32, "float32 (DTYPE=int8 has an effect only with ENGINE=whis"),
        (gpu((9, 0)), True, torch.float16, "float16 (DTYPE=int8 is for CPUs)"),
    ],
)
def test_elsewhere_int8_is_another_dtype_and_the_reason_given(machine, has_int8, dtype, why):
    chosen = choose(Config(dtype="int8"), machine, has_int8=has_int8)
    assert (chosen.quantizes, chosen.dtype) == (False, dtype)
    assert why in chosen.reason


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
