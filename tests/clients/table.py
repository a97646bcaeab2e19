"""The clients' answers as rows, and the rows as a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

from benchmark.tables import aligned
from tests.clients.cells import cells
from tests.clients.home_assistant import home_cells, home_rows
from tests.clients.listen import listen_cells, listen_rows
from tests.clients.official import DEEPGRAM, NODE_SOURCE, ask_deepgram, ask_node, ask_python
from tests.clients.verdict import Row, judge
from tests.clients.webservice import webservice_cells, webservice_rows
from tests.conftest import ROOT, Server

HEADINGS = ("client", "asked", "format", "granularities", "stream", "besides", "verdict")


CACHE = ROOT / ".cache"


def _openai_python(server: Server) -> list[Row]:
    every = cells()
    return judge("Python", every, ask_python(server.url + "/v1", every))


def _openai_node(server: Server) -> list[Row]:
    every = cells()
    return judge("Node", every, ask_node(server.url + "/v1", every, CACHE))


def _deepgram_python(server: Server) -> list[Row]:
    every = listen_cells()
    return listen_rows("Deepgram's Python", every, ask_deepgram(server.url, every, CACHE))


def _deepgram_node(server: Server) -> list[Row]:
    every = listen_cells()
    answers = ask_node(server.url, every, CACHE, "listen.mjs")
    return listen_rows("Deepgram's Node", every, answers)


def _webservice(server: Server) -> list[Row]:
    return webservice_rows(server.url, webservice_cells())


def _home_assistant(server: Server) -> list[Row]:
    return home_rows(server.wyoming_port, home_cells())


CLIENTS: Mapping[str, Callable[[Server], list[Row]]] = {
    "Python": _openai_python,
    "Node": _openai_node,
    "Deepgram's Python": _deepgram_python,
    "Deepgram's Node": _deepgram_node,
    "Bazarr's requests": _webservice,
    "Home Assistant's": _home_assistant,
}


def asked(client: str, server: Server) -> list[Row]:
    """What `client` got from the server for every cell.

    Raises:
        Absent: there is no such client here.
    """
    return CLIENTS[client](server)


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
    node, listening = (
        locked[f"node_modules/{name}"]["version"] for name in ("openai", "@deepgram/sdk")
    )
    pinned = DEEPGRAM.read_text().split("deepgram-sdk==")[1].split()[0]
    return (
        f"openai {version('openai')} for Python, {node} for Node; "
        f"Deepgram's {pinned} for Python, {listening} for Node; wyoming {version('wyoming')}"
    )
