"""A Docker engine: the one that runs here, or one from Debian's packages."""

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
START_S = 60
PROGRAMS = {  # and their packages
    "shellcheck": "shellcheck",
    "mmdebstrap": "mmdebstrap",
    "arch-test": "arch-test",
    "qemu-aarch64-static": "qemu-user-static",
}


class NoEngine(Exception):
    """No Docker engine runs here and none can be started, or something else is wanting."""


def check_as_it_is() -> None:
    """Start and install nothing.

    Raises:
        NoEngine: something would have to be; the message says what.
    """
    if not _answers():
        raise NoEngine("no Docker engine runs")
    for program in ("shellcheck", "mmdebstrap"):
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


def run(*command: str) -> str:
    """What a command prints; a failure ends the program with what it said."""
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if ended.returncode:
        sys.exit(f"{' '.join(command)}\n{ended.stdout}\n{ended.stderr}")
    return ended.stdout.strip()
