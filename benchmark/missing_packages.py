"""What is said where a package is missing that the service itself does not need."""

from __future__ import annotations

import sys
from types import TracebackType

OWN = ("asr", "benchmark", "models", "tests")


def explain() -> None:
    """From now on a package that is not installed is named in one line, with the remedy."""
    sys.excepthook = _name_the_remedy


def _name_the_remedy(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None = None
) -> None:
    package = str(getattr(error, "name", None)).partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or package in OWN:
        sys.__excepthook__(kind, error, trace)
        return
    print(
        f"{package} is not installed in {sys.executable}: use make (benchmark/README.md has the "
        f"commands), which installs it into .venv, or pip install -r requirements-dev.txt",
        file=sys.stderr,
    )
