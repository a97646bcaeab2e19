"""Compile the kernels with the system's C compiler: python -m asr.engines.whisper.kernels.build."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
FEATURES = ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni", "avx512bf16", "fma")
COMPILER = "cc"
OPTIONS = ("-O3", "-std=gnu11", "-fPIC", "-fopenmp", *(f"-m{feature}" for feature in FEATURES))
TIMEOUT_S = 120


def compiled() -> Path:
    """Return where the library lies, compiled of the sources as they are."""
    digest = hashlib.sha256(repr(OPTIONS).encode())
    for source in sorted([*HERE.glob("*.c"), *HERE.glob("*.h")]):
        digest.update(source.read_bytes())
    return HERE / f"kernels-{digest.hexdigest()[:16]}.so"


def is_possible() -> bool:
    """Return whether the kernels are for this kind of processor."""
    return platform.machine() in {"x86_64", "AMD64"}


def build() -> Path:
    """Compile the library if it is not there, and remove those of older sources.

    It is linked with no OpenMP library: two in one process would disturb each other, and torch
    brings one.

    Raises:
        OSError: there is no compiler, or the directory cannot be written to.
        subprocess.SubprocessError: the compiler refuses the sources, or hangs.
    """
    path = compiled()
    if path.exists():
        return path
    if not is_possible():
        raise OSError(f"the kernels are for x86-64, and this is {platform.machine()}")
    with tempfile.TemporaryDirectory(prefix="build-", dir=HERE) as directory:
        parts, whole = Path(directory) / "kernels.o", Path(directory) / "kernels.so"
        _run([COMPILER, *OPTIONS, "-c", str(HERE / "kernels.c"), "-o", str(parts)])
        _run([COMPILER, "-shared", str(parts), "-lm", "-o", str(whole)])
        whole.replace(path)  # another process may do the same
    for other in HERE.glob("kernels-*.so"):  # of older sources
        if other != path:
            other.unlink(missing_ok=True)
    return path


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)


if __name__ == "__main__":
    if not is_possible():
        sys.exit(0)
    try:
        print(build())
    except subprocess.CalledProcessError as error:
        sys.exit(error.stderr)
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(str(error))
