"""Measure a package's files, folders and functions: python -m tests.support.house_size."""

from __future__ import annotations

import ast
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[2] / "asr"  # The files below this folder are measured.
FILE_LINES = 300  # A file with more lines is a fault.
FOLDER_FILES = 14  # A folder with more modules, names in `__` aside, is a fault.
MEDIAN_LINES = 8  # Functions whose median has more lines are a fault.
FUNCTION_LINES = 60  # A function with more lines, its signature included, is a fault.


@dataclass(frozen=True)
class Size:
    """Holds the lengths of a package's functions, and what in it is too large."""

    functions: dict[str, int]  # place and name → lines from signature to end
    files: dict[str, int]  # those above FILE_LINES → lines
    folders: dict[str, int]  # those above FOLDER_FILES → modules

    @property
    def median(self) -> float:
        """Return the median of the functions' lines."""
        return statistics.median(self.functions.values()) if self.functions else 0.0

    @property
    def percentile_90(self) -> int:
        """Return the lines that nine functions of ten do not exceed."""
        ordered = sorted(self.functions.values())
        return ordered[9 * (len(ordered) - 1) // 10] if ordered else 0

    @property
    def faults(self) -> list[str]:
        """Return a line for each limit that is not kept."""
        lines = [f"{name}: {count} lines" for name, count in self.files.items()]
        lines += [f"{name}/: {count} modules" for name, count in self.folders.items()]
        if self.median > MEDIAN_LINES:
            lines.append(f"the median function has {self.median:g} lines")
        long = {name: n for name, n in self.functions.items() if n > FUNCTION_LINES}
        return lines + [f"{name}: a function of {count} lines" for name, count in long.items()]

    def described(self) -> str:
        """Return the figures as text, the faults last."""
        longest = max(self.functions, key=lambda name: self.functions[name], default="none")
        return "\n".join(
            [
                f"{len(self.files)} files above {FILE_LINES} lines, "
                f"{len(self.folders)} folders with more than {FOLDER_FILES} modules",
                f"{len(self.functions)} functions: median {self.median:g} lines, 90th percentile "
                f"{self.percentile_90}, longest {self.functions.get(longest, 0)} ({longest})",
                *(f"too large: {fault}" for fault in self.faults),
            ]
        )


def measure(house: Path) -> Size:
    """Measure every module under `house`."""
    functions: dict[str, int] = {}
    files: dict[str, int] = {}
    folders: dict[str, int] = {}
    for path in sorted(house.rglob("*.py")):
        name, text = str(path.relative_to(house)), path.read_text(encoding="utf-8")
        functions |= _functions(name, ast.parse(text))
        if (lines := len(text.splitlines())) > FILE_LINES:
            files[name] = lines
        if not path.name.startswith("__"):
            folder = str(path.parent.relative_to(house))
            folders[folder] = folders.get(folder, 0) + 1
    return Size(functions, files, {name: n for name, n in folders.items() if n > FOLDER_FILES})


def _functions(name: str, tree: ast.Module) -> dict[str, int]:
    """Count each function's lines; those of an inner function count in both."""
    return {
        f"{name}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def main() -> int:
    """Print the sizes; return exit code 0 when all limits are kept."""
    size = measure(HOUSE)
    print(size.described())
    return int(bool(size.faults))


if __name__ == "__main__":
    sys.exit(main())
