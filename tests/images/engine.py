"""A Docker engine and a stand-in for the Python base image, both from Debian's packages.

No image registry is asked for anything.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache" / "images"
BASE = "asr-api-python"  # in the place of python:3.11-slim-bookworm
BUILDER = "asr-api-builder"  # the same with wheels of all requirements, so that builds are offline
UNNEEDED = ("doc", "info", "locale", "man")
START_S = 60
BASE_DOCKERFILE = f"""
FROM {BASE}:debian
RUN ln -s /usr/bin/python3 /usr/local/bin/python
"""
BUILDER_DOCKERFILE = f"""
FROM {BASE}
COPY wheels /wheels
RUN PYTHONPATH="$(echo /wheels/pip-*.whl)" python -m pip install --break-system-packages \
      --no-index --find-links /wheels pip \
 && printf '[global]\\nno-index = true\\nfind-links = /wheels\\n' >/etc/pip.conf
"""


PROGRAMS = {"shellcheck": "shellcheck", "mmdebstrap": "mmdebstrap"}  # and their packages


class NoEngine(Exception):
    """No Docker engine runs here and none can be started, or something else is wanting."""


def check_as_it_is() -> None:
    """Start and install nothing.

    Raises:
        NoEngine: something would have to be; the message says what.
    """
    if not _answers():
        raise NoEngine("no Docker engine runs")
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise NoEngine(f"there is no {program}")


@contextlib.contextmanager
def docker() -> Iterator[None]:
    """A running engine: the one that is there, or one for as long as the context lasts.

    Raises:
        NoEngine: there is neither; the message says why.
    """
    if _answers():
        yield
        return
    if os.geteuid() != 0:
        raise NoEngine("no engine runs, and only root can start one")
    install("dockerd", "docker.io")
    CACHE.mkdir(parents=True, exist_ok=True)
    # without a bridge and its firewall rules it starts in most containers too
    command = ["dockerd", "--storage-driver=overlay2", "--iptables=false", "--bridge=none"]
    with (CACHE / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(
            [*command, f"--data-root={CACHE / 'docker'}"], stdout=log, stderr=log
        )
    try:
        _wait_for(daemon)
        yield
    finally:
        daemon.terminate()
        daemon.wait()


def _answers() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "version"], capture_output=True)
    return asked.returncode == 0


def _wait_for(daemon: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + START_S
    while not _answers():
        if daemon.poll() is not None or time.monotonic() > ends:
            last = (CACHE / "dockerd.log").read_text().strip().splitlines()[-1:]
            raise NoEngine(f"dockerd does not start: {''.join(last)}")
        time.sleep(0.5)


def install(program: str, package: str = "") -> None:
    package = package or PROGRAMS[program]
    if shutil.which(program):
        return
    if shutil.which("apt-get") is None:
        raise NoEngine(f"there is no {program} and no apt-get to install it")
    print(f"installing {package} ...", flush=True)
    command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
    if subprocess.run(command, capture_output=True).returncode:
        raise NoEngine(f"apt-get cannot install {package}")


def make_base_images() -> None:
    """Make `BASE` and `BUILDER`; a base that is there is kept."""
    if not _has(BASE):
        install("mmdebstrap")
        print("making a stand-in for the Python base image ...", flush=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        archive = CACHE / "debian.tar"
        packages = ["--variant=minbase", "--include=python3,ca-certificates"]
        leave_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNNEEDED]
        run("mmdebstrap", "--quiet", *packages, *leave_out, "bookworm", str(archive))
        run("docker", "import", str(archive), f"{BASE}:debian")
        archive.unlink()
        _build(BASE, BASE_DOCKERFILE, CACHE / "empty")
    print("fetching the wheels of requirements.txt ...", flush=True)
    _download_wheels(CACHE / "builder" / "wheels")
    _build(BUILDER, BUILDER_DOCKERFILE, CACHE / "builder")


def _has(image: str) -> bool:
    return (
        subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode == 0
    )


def _download_wheels(directory: Path) -> None:
    """With this machine's own configuration of pip, wherever that takes them from."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--python-version", "3.11"]
    requirements = ["--requirement", "requirements.txt", "--constraint", "images/constraints.txt"]
    run(*command, "--only-binary=:all:", "--dest", str(directory), "pip", *requirements)


def _build(image: str, dockerfile: str, context: Path) -> None:
    context.mkdir(parents=True, exist_ok=True)
    (context / "Dockerfile").write_text(dockerfile)
    run("docker", "build", "--network=none", "--tag", image, str(context))


def run(*command: str) -> str:
    """What a command prints; a failure ends the program with what it said."""
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if ended.returncode:
        sys.exit(f"{' '.join(command)}\n{ended.stdout}\n{ended.stderr}")
    return ended.stdout.strip()
