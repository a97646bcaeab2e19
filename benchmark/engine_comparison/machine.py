"""Describe the machine, the versions and the commit that figures depend on."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmark.engine_comparison import formats
from benchmark.engine_comparison.plan import Plan
from benchmark.provenance import commit, processor


def described(plan: Plan) -> dict[str, str]:
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "weights": plan.weights + (" (no accuracy, no real speech)" if plan.is_random else ""),
        "processor": processor(),
        "flags": formats.flags(),
        "threads": str(plan.threads),
        "gpu": torch.cuda.get_device_name() if plan.device == "cuda" else "none",
        "load": f"{os.getloadavg()[0]:.2f} before the start",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def write(path: Path, document: dict[str, Any]) -> None:
    """Write JSON; the old file stays whole until the new one is.

    So a program that is ended meanwhile loses nothing.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(json.dumps(document, indent=2, default=str) + "\n")
    unfinished.replace(path)
