"""Choose the Python of each contender, or install it from `requirements.txt`."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Collection, Mapping
from pathlib import Path

from benchmark.engine_comparison.contender import CannotRun, Entry
from benchmark.paths import ROOT

PINS = ROOT / "benchmark" / "requirements.txt"
FOLDER = ROOT / ".cache" / "bench-venvs"
# A line that begins with this names the environment of the lines below it.
HEADING = "# environment: "
# These packages come with others, do not match a CPU torch and break it: they are removed.
MISFITS = ("torchvision", "torchaudio")
# This program prints which of the modules it is given are missing, as JSON.
MISSING = (
    "import importlib.util, json, sys;"
    "print(json.dumps([n for n in sys.argv[1:] if importlib.util.find_spec(n) is None]))"
)


def install(folder: Path = FOLDER, only: Collection[str] = ()) -> None:
    """Make the environment of every contender that needs one, or `only` those named."""
    for name, requirements in pins(PINS.read_text()).items():
        if only and name not in only:
            continue
        print(f"installing {name} into {folder / name}", flush=True)
        if not (folder / name).exists():
            venv.create(folder / name, with_pip=True)
        program = str(folder / name / "bin" / "python")
        pip = [program, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", *requirements], check=True)
        subprocess.run([*pip, "uninstall", "--yes", *MISFITS], check=True)


def pins(text: str) -> dict[str, list[str]]:
    """Return the requirements that `text` lists under each environment's heading."""
    listed: dict[str, list[str]] = {}
    requirements: list[str] = []
    for line in text.splitlines():
        if line.startswith(HEADING):
            requirements = listed.setdefault(line.removeprefix(HEADING).strip(), [])
        elif requirement := line.partition("#")[0].strip():
            requirements.append(requirement)
    return listed


def program(entry: Entry, given: Mapping[str, str], folder: Path = FOLDER) -> str:
    """Return a Python that has the packages of `entry`.

    That is the one given, the one of its own environment, or this one.

    Raises:
        CannotRun: that Python lacks a package, or cannot be run.
    """
    own = folder / str(entry.environment) / "bin" / "python"
    name = entry.environment or entry.name
    python = given.get(name) or (str(own) if own.exists() else sys.executable)
    check = [python, "-c", MISSING, *entry.packages]
    try:
        listed = subprocess.run(check, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotRun(f"{python} cannot be run: {error}") from error
    if missing := json.loads(listed):
        raise CannotRun(f"{', '.join(missing)} not installed: see --install and --python")
    return python
