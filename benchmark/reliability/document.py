"""Replace a measured part of a document by a new measurement."""

from __future__ import annotations

from pathlib import Path


def insert(document: Path, name: str, text: str) -> None:
    """Put `text` between the two comments that name this part of a Markdown document.

    Raises:
        ValueError: the document has no such part.
    """
    begins, ends = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = document.read_text(encoding="utf-8").partition(begins)
    _, also_found, after = rest.partition(ends)
    if not found or not also_found:
        raise ValueError(f"{document} has no {begins.strip()} with its end")
    document.write_text(f"{before}{begins}{text}\n{ends}{after}", encoding="utf-8")
