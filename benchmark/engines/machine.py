"""What figures depend on besides the engines: the machine, the versions, the commit."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmark.engines.plan import Plan
from benchmark.paths import ROOT


def described(asked: Plan) -> dict[str, str]:
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "weights": asked.weights + (" (no accuracy, no real speech)" if asked.is_random else ""),
        "processor": _processor(),
        "threads": str(asked.threads),
        "gpu": torch.cuda.get_device_name() if asked.device == "cuda" else "none",
        "load": f"{os.getloadavg()[0]:.2f} before the start",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def write(path: Path, found: dict[str, Any]) -> None:
    """As JSON, the old file whole until the new one is: whoever ends the program loses nothing."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(json.dumps(found, indent=2, default=str) + "\n")
    unfinished.replace(path)


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or a copy without its history
        return "unknown"
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores"
    return platform.processor()
