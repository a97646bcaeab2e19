"""The commands of `python -m asr`, each imported when it is used."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

import click

from asr.errors import ConfigError

INTERRUPTED = 130  # The exit code after Ctrl-C, as shells have it: 128 and the signal's number.
COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {  # name → its module in this package, and its line in the help
        "transcribe": ("transcribe", "Transcribe files and folders in this process, no server."),
        "listen": ("listen", "Print what is said while it is said: microphone or file."),
        "submit": ("submit", "Submit files, folders and URLs as jobs of a server."),
        "wait": ("wait", "Wait for jobs, and fetch their results."),
        "status": ("jobs", "Show how far jobs are."),
        "cancel": ("jobs", "Cancel jobs: the server stops working on them at once."),
        "list": ("jobs", "List the jobs of a server, newest first."),
        "serve": ("serve", "Run the server; its settings are environment variables."),
    }
)


class LazyCommands(click.Group):
    """Imports the module of a command only when that one is asked for.

    The help needs neither aiohttp nor numpy, and no command that speaks to a server needs torch.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"asr.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Transcribe speech.

    Exit codes: 0 everything is done; 1 a file or a job failed, or the server refused; 2 the command
    cannot be understood; 3 the server cannot be reached; 130 after Ctrl-C.
    """


def run(arguments: Sequence[str]) -> int:
    """Run a command; return the exit code."""
    try:
        code = commands.main(list(arguments), prog_name="python -m asr", standalone_mode=False)
    except click.Abort:
        click.echo("interrupted: what is written is whole", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ConfigError as error:
        click.echo(f"configuration: {error}", err=True)
        return click.UsageError.exit_code
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    """Run the command of this process, and end it.

    Nothing is taken apart at the end: torch needs seconds for it, and aborts where it computes.
    """
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
