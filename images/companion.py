"""Run the server and a program beside it: python companion.py PROGRAM [ARGUMENT]...

When one of them ends the other is ended too, and the container with it. SIGTERM goes to the server,
which answers what it has taken before it ends.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
POLL_S = 0.2


def main(program: list[str]) -> int:
    """The exit code of the one that ended first."""
    server = subprocess.Popen([sys.executable, "server.py"], cwd=HERE)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda given, _: server.send_signal(given))
    beside = subprocess.Popen(program, cwd=HERE)
    while (code := server.poll()) is None and (code := beside.poll()) is None:
        try:
            server.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue
    for process in (server, beside):
        process.terminate()
        process.wait()
    return code


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
