"""`python -m asr serve`: the same as `python server.py`."""

from __future__ import annotations

import os

import click

from asr.server.start import serve
from asr.startup import StartupTimer


@click.command("serve")
def serve_command() -> None:
    """Run the server until SIGTERM.

    Its settings are environment variables, such as PORT=8000 and MODEL_ID=demo: docs/settings.md
    has a table of them.
    """
    serve(os.environ, StartupTimer.of_process())
