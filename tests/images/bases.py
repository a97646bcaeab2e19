"""Stand-ins for the Python base images, from Debian's packages: no image registry is asked.

`BASE` has Python alone, `BUILDER` also pip and the wheels of all requirements, so that its builds
are offline, and `C_COMPILER` has that beside Python. `COMPILER` has one for C++, and pip asks PyPI,
as it does in the images' own bases.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.images.engine import CACHE, ROOT, install, run

BASE = "asr-api-python"
BUILDER = "asr-api-builder"
COMPILER = "asr-api-compiler"
C_COMPILER = "asr-api-c-compiler"
ARM64_BASE = "asr-api-python-arm64"
ARM64_BUILDER = "asr-api-builder-arm64"
PYTHON = ("python3", "ca-certificates")
COMPILERS = ("g++", "python3-dev", "python3-pip", "python3-venv")
UNNEEDED = ("doc", "info", "locale", "man")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
GLIBC = ("2_28", "2_27", "2_17")  # what wheels for aarch64 say that they need
NAMED = "RUN ln -s /usr/bin/python3 /usr/local/bin/python\n"
OFFLINE = r"""
COPY wheels /wheels
RUN PYTHONPATH="$(echo /wheels/pip-*.whl)" python -m pip install --break-system-packages \
      --no-index --find-links /wheels pip \
 && printf '[global]\nno-index = true\nfind-links = /wheels\n' >/etc/pip.conf
"""
ONLINE = rf"""
COPY certificates {CERTIFICATES}
RUN printf '[global]\ncert = {CERTIFICATES}\nbreak-system-packages = true\n' >/etc/pip.conf
"""


def make() -> None:
    """Make `BASE`, `BUILDER` and `C_COMPILER`; a base that is there is kept."""
    _debian(BASE, PYTHON)
    _debian(C_COMPILER, (*PYTHON, "gcc", "libc6-dev"))
    print("fetching the wheels of requirements.txt ...", flush=True)
    _download(CACHE / "builder" / "wheels", ROOT / "requirements.txt")
    _build(BUILDER, f"FROM {BASE}\n{OFFLINE}", CACHE / "builder")


def make_compiler() -> None:
    _debian(BASE, PYTHON)
    context = CACHE / "compiler"
    context.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(CERTIFICATES, context / "certificates")
    _debian(f"{COMPILER}:offline", (*PYTHON, *COMPILERS))
    _build(COMPILER, f"FROM {COMPILER}:offline\n{ONLINE}", context)


def make_arm64(requirements: Path) -> None:
    """The same as `make` for another processor, which qemu stands in for."""
    for program in ("arch-test", "qemu-aarch64-static"):
        install(program)
    _debian(ARM64_BASE, PYTHON, "arm64")
    print("fetching the wheels for arm64 ...", flush=True)
    platforms = [f"--platform=manylinux_{version}_aarch64" for version in GLIBC]
    wheels = CACHE / "builder-arm64" / "wheels"
    abis = ("--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none")
    # alone and by name: pip would take this machine's needs, CUDA's libraries, for the other's
    options = (*platforms, "--platform=manylinux2014_aarch64", *abis, "--no-deps")
    _download(wheels, requirements, (*options, "--requirement=images/constraints.txt"))
    _build(ARM64_BUILDER, f"FROM {ARM64_BASE}\n{OFFLINE}", wheels.parent)


def _debian(image: str, packages: Sequence[str], architecture: str = "") -> None:
    if _has(image):
        return
    install("mmdebstrap")
    print(f"making {image}, a stand-in for the Python base image ...", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / "debian.tar"
    options = ["--variant=minbase", f"--include={','.join(packages)}"]
    options += [f"--architectures={architecture}"] if architecture else []
    leave_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNNEEDED]
    run("mmdebstrap", "--quiet", *options, *leave_out, "bookworm", str(archive))
    platform = [f"--platform=linux/{architecture}"] if architecture else []
    bare = f"{image.partition(':')[0]}:debian"
    run("docker", "import", *platform, str(archive), bare)
    archive.unlink()
    _build(image, f"FROM {bare}\n{NAMED}", CACHE / "empty")


def _has(image: str) -> bool:
    command = ["docker", "image", "inspect", image]
    return subprocess.run(command, capture_output=True).returncode == 0


def _download(directory: Path, requirements: Path, options: Sequence[str] = ()) -> None:
    """With this machine's own configuration of pip, wherever that takes them from."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--python-version", "3.11"]
    wanted = ["--requirement", str(requirements), "--constraint", "images/constraints.txt"]
    run(*command, *options, "--only-binary=:all:", "--dest", str(directory), "pip", *wanted)


def _build(image: str, dockerfile: str, context: Path) -> None:
    context.mkdir(parents=True, exist_ok=True)
    (context / "Dockerfile").write_text(dockerfile)
    run("docker", "build", "--network=none", "--tag", image, str(context))
