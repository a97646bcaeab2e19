"""Start a server, ask all clients everything, print the table: python -m tests.clients."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from tests.clients.cells import KEY
from tests.clients.official import Absent
from tests.clients.table import CLIENTS, asked, shown
from tests.clients.verdict import Row, compare
from tests.conftest import free_port, start_server


def main() -> int:
    """Exit code 0 when every cell is right; a client that cannot be had is named."""
    logging.getLogger("openai").setLevel(logging.ERROR)  # it warns of formats that it has not
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        port = {"WYOMING_PORT": str(free_port()), "WYOMING_HOST": "127.0.0.1"}
        server = start_server(Path(folder) / "log", API_KEY=KEY, **port)
        try:
            for client in CLIENTS:
                try:
                    rows += asked(client, server)
                except Absent as reason:
                    print(f"{client} is left out: {reason}", file=sys.stderr)
        finally:
            server.stop()
    rows = compare(rows)
    print(shown(rows))
    return int(any(row.problem for row in rows))


if __name__ == "__main__":
    sys.exit(main())
