"""Run a command in a network namespace of its own, where nothing else can be reached."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence

UNSHARE = ("unshare", "--net", "--mount")


@functools.cache
def why_not() -> str | None:
    """Return why this process may not make a network namespace; None where it may."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "the programs unshare and ip are not installed"
    done = subprocess.run([*UNSHARE, "ip", "link", "set", "lo", "up"], capture_output=True)
    if done.returncode:
        return f"no network namespace is permitted: {done.stderr.decode().strip()}"
    return None


def inside(command: Sequence[str], setup: str = "") -> list[str]:
    """Return `command` to be run in a namespace that has only a loopback interface.

    Args:
        setup: shell commands that come first, such as further addresses of `lo`.
    """
    script = f'set -e; ip link set lo up; {setup or ":"}; exec "$0" "$@"'
    return [*UNSHARE, "bash", "-c", script, *command]
