"""Write images/constraints.txt: the versions here of all that requirements.txt brings along."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "images" / "constraints.txt"
PINNED_BY_TORCH = ("cuda-", "nvidia-", "triton")  # where it is built for CUDA
HEAD = "# What requirements.txt brings along, pinned for the images. Made by images/pin.py.\n"


def main() -> None:
    asked = requirements((ROOT / "requirements.txt").read_text())
    pins = "".join(f"{name}=={version}\n" for name, version in brought(asked))
    CONSTRAINTS.write_text(HEAD + pins)


def requirements(text: str) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def brought(asked: list[Requirement]) -> Iterator[tuple[str, str]]:
    """Name and version of every package installed here that `asked` needs and does not name."""
    named = {canonicalize_name(requirement.name) for requirement in asked}
    found: dict[str, str] = {}
    todo = list(asked)
    while todo:
        distribution = importlib.metadata.distribution(todo.pop().name)
        for needed in map(Requirement, distribution.requires or ()):
            name = canonicalize_name(needed.name)
            is_known = name in named | found.keys() or name.startswith(PINNED_BY_TORCH)
            if is_known or not _applies(needed):
                continue
            found[name] = importlib.metadata.version(name)
            todo.append(needed)
    yield from sorted(found.items())


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


if __name__ == "__main__":
    sys.exit(main())
