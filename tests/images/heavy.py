"""Builds that take gigabytes or hours, each when it is asked for: CUDA, flash-attn, arm64.

There is no GPU in any of them: they show that the images build, start, hear on the CPU where they
may and refuse where they must, and what they weigh. Packages come from PyPI.
"""

from __future__ import annotations

import subprocess

from benchmark.demo import Sample
from tests.images import bases, engine, layers
from tests.images.baking import heard
from tests.images.engine import ROOT, run

TAG = "heavy"
COMPILER = (
    "--network=host",
    f"--build-arg=PYTHON={bases.BASE}",
    f"--build-arg=BUILDER={bases.COMPILER}",
    f"--build-arg=COMPILER={bases.COMPILER}",
)
ARCHITECTURE = "90"  # one of the four that flash-attn is compiled for
ARM64_TORCH = "torch==2.10.0"  # the last that PyPI has for aarch64 without CUDA
EMULATED_START_S = 1800
OVERRIDES = """
from torch._native import registry
assert not any(operator == "bmm" for operator, _ in registry._graphs), registry._graphs
"""
FLASH_ATTENTION = "import torch, flash_attn_2_cuda, flash_attn; print(flash_attn.__version__)"


def prove_cuda(sample: Sample) -> None:
    """The image for CUDA: without a GPU it hears on the CPU, or refuses where told to have one."""
    bases.make_compiler()
    run(str(ROOT / "build.sh"), "--model", "demo", "--tag", TAG, "--", *COMPILER)
    image = f"asr-api:{TAG}"
    layers.print_sizes(image)
    alone = ("docker", "run", "--rm", "--network=none")
    run(*alone, image, "python", "-c", OVERRIDES)  # they want a compiler, where a GPU is
    print(f"without a GPU: {heard(f'{image}-demo', sample)!r}")
    command = [*alone, "--env=DEVICE=cuda", f"{image}-demo"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "CUDA is not available" in refused.stderr, refused
    print(f"with DEVICE=cuda: {refused.stderr.strip()}")


def prove_flash_attention(sample: Sample) -> None:
    """flash-attn compiled for one kind of GPU; it links, and the image with it still works."""
    bases.make_compiler()
    architecture = f"--build-arg=ARCHITECTURES={ARCHITECTURE}"
    script = [str(ROOT / "build.sh"), "--fa2", "--model", "demo", "--tag", TAG]
    run(*script, "--", *COMPILER, architecture)
    image = f"asr-api:{TAG}-fa2"
    layers.print_sizes(image)
    version = run("docker", "run", "--rm", "--network=none", image, "python", "-c", FLASH_ATTENTION)
    print(f"flash-attn {version}, without a GPU: {heard(f'{image}-demo', sample)!r}")


def prove_arm64(sample: Sample) -> None:
    """The image for CPUs of the other architecture, emulated."""
    copy = engine.CACHE / "arm64"
    layers.copy_sources(copy)
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    changed = [ARM64_TORCH if line.startswith("torch==") else line for line in lines]
    (copy / "requirements.txt").write_text("\n".join(changed) + "\n")
    bases.make_arm64(copy / "requirements.txt")
    options = (
        "--network=none",
        f"--build-arg=PYTHON={bases.ARM64_BASE}",
        f"--build-arg=COMPILER={bases.ARM64_BASE}",  # has nothing to compile
        "--build-arg=TORCH_INDEX=",
    )
    script = [str(copy / "build.sh"), "--cpu", "--model", "demo", "--tag", f"{TAG}-arm64"]
    run(*script, "--", *options, f"--build-arg=BUILDER={bases.ARM64_BUILDER}")
    image = f"asr-api:{TAG}-arm64-cpu"
    layers.print_sizes(image)
    print(f"emulated, {ARM64_TORCH}: {heard(f'{image}-demo', sample, EMULATED_START_S)!r}")
