"""Name a missing package and how to install it, in one line."""

from __future__ import annotations

import sys
from types import TracebackType

# A missing module of these packages is an error of ours and keeps its traceback.
OWN = ("asr", "benchmark", "models", "tests")


def explain() -> None:
    """Replace the traceback of a missing package with one line that names the remedy."""
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
