"""Write rows of text as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return Markdown lines, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        label, *cells = row
        padded = [label.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]
        lines.append("| " + " | ".join(padded) + " |")
    rules = ["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]
    lines.insert(1, "|" + "|".join(rules) + "|")
    return lines
