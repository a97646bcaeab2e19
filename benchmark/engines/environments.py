"""The Python that each contender runs in: found, or made with what `requirements.txt` pins."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

from benchmark.engines.contender import CannotRun, Entry
from benchmark.paths import ROOT

PINS = ROOT / "benchmark" / "requirements.txt"
FOLDER = ROOT / ".cache" / "bench-venvs"
HEADING = "# environment: "
MISFITS = ("torchvision", "torchaudio")  # they come along, do not match a CPU torch and break it
MISSING = (
    "import importlib.util, json, sys;"
    "print(json.dumps([n for n in sys.argv[1:] if importlib.util.find_spec(n) is None]))"
)


def install(folder: Path = FOLDER) -> None:
    """Make the environment of every contender that needs one."""
    for name, requirements in pins(PINS.read_text()).items():
        print(f"installing {name} into {folder / name}", flush=True)
        if not (folder / name).exists():
            venv.create(folder / name, with_pip=True)
        program = str(folder / name / "bin" / "python")
        pip = [program, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", *requirements], check=True)
        subprocess.run([*pip, "uninstall", "--yes", *MISFITS], check=True)


def pins(text: str) -> dict[str, list[str]]:
    """The requirements of each environment, as `text` lists them under its headings."""
    found: dict[str, list[str]] = {}
    requirements: list[str] = []
    for line in text.splitlines():
        if line.startswith(HEADING):
            requirements = found.setdefault(line.removeprefix(HEADING).strip(), [])
        elif requirement := line.partition("#")[0].strip():
            requirements.append(requirement)
    return found


def program(entry: Entry, given: Mapping[str, str], folder: Path = FOLDER) -> str:
    """The Python that has what `entry` needs: as given, its own environment's, or this one.

    Raises:
        CannotRun: none has.
    """
    own = folder / str(entry.environment) / "bin" / "python"
    name = entry.environment or entry.name
    found = given.get(name) or (str(own) if own.exists() else sys.executable)
    check = [found, "-c", MISSING, *entry.packages]
    try:
        listed = subprocess.run(check, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotRun(f"{found} cannot be run: {error}") from error
    if missing := json.loads(listed):
        raise CannotRun(f"{', '.join(missing)} not installed: see --install and --python")
    return found
