"""The clients' answers as rows, and the rows as a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

from benchmark.tables import aligned
from tests.clients.cells import Cell, cells
from tests.clients.official import NODE_SOURCE, Answer, ask_node, ask_python
from tests.clients.verdict import Row, judge
from tests.conftest import ROOT

HEADINGS = ("client", "asked", "format", "granularities", "stream", "besides", "verdict")


def _node(url: str, asked: Sequence[Cell]) -> list[Answer]:
    return ask_node(url, asked, ROOT / ".cache")


CLIENTS: Mapping[str, Callable[[str, Sequence[Cell]], list[Answer]]] = {
    "Python": ask_python,
    "Node": _node,
}


def asked(client: str, url: str) -> list[Row]:
    """What `client` got from the server at `url` for every cell.

    Raises:
        Absent: there is no such client here.
    """
    every = cells()
    return judge(client, every, CLIENTS[client](url + "/v1", every))


def shown(rows: Sequence[Row]) -> str:
    """The table, and how many of its rows are right."""
    wrong = sum(row.problem is not None for row in rows)
    lines = aligned([HEADINGS, *(_line(row) for row in rows)])
    lines += ["", f"{len(rows)} cells, {wrong} wrong; {_versions()}"]
    return "\n".join(lines)


def _line(row: Row) -> tuple[str, ...]:
    cell = row.cell
    return (
        row.client,
        cell.route,
        "-" if cell.route == "models" else cell.response_format,
        "+".join(cell.granularities) or "-",
        "yes" if cell.is_streamed else "no",
        cell.others or "-",
        f"WRONG: {row.problem}" if row.problem else f"right: {row.said}",
    )


def _versions() -> str:
    locked = json.loads((NODE_SOURCE / "package-lock.json").read_text())["packages"]
    node = locked["node_modules/openai"]["version"]
    return f"openai {version('openai')} for Python, {node} for Node"
