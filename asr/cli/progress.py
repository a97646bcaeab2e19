"""A bar of the seconds of audio that are done, on stderr."""

from __future__ import annotations

import sys
from types import TracebackType

import click
from tqdm import tqdm

FORM = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}]"
TERMINAL_SECONDS = 0.1  # In a terminal the bar is drawn anew so often.
LOG_SECONDS = 10.0  # Where stderr is a file, a line is added to it so often.


class AudioBar:
    """Shows how much audio is done of how much; drawn only where it is `shown`.

    Args:
        delay: seconds before it is drawn first.
    """

    def __init__(self, shown: bool, delay: float = 0.0) -> None:
        is_terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=0.0,
            bar_format=FORM,
            disable=not shown,
            delay=delay,
            dynamic_ncols=is_terminal,
            mininterval=TERMINAL_SECONDS if is_terminal else LOG_SECONDS,
            file=sys.stderr,
        )

    def __enter__(self) -> AudioBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def show(self, text: str, done: float, total: float) -> None:
        """Set the text before the bar, and the seconds of audio."""
        if self._bar.disable:
            return
        self._bar.total = max(total, done)
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(done - self._bar.n)


def say(line: str, err: bool = False) -> None:
    """Print a line without breaking the bar, where there is one."""
    with tqdm.external_write_mode(file=sys.stderr if err else sys.stdout):
        click.echo(line, err=err)
