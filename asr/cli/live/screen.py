"""Shows utterances in a terminal while they grow: words that stay plain, others dim."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from asr.cli.live.lines import began_at, reason
from asr.cli.live.rows import cleaned, width, wrapped
from asr.live.events import (
    CommandRefused,
    Completed,
    Delta,
    Failed,
    Hypothesis,
    LiveEvent,
    SpeechStarted,
)

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
UP = "\x1b[{}A"  # So many rows up.
CLEAR_ROW, CLEAR_BELOW = "\x1b[K", "\x1b[J"  # From the cursor on.
FEWEST_COLUMNS = 2  # A terminal that says to be narrower has a wide letter in each row.


@dataclass
class GrowingText:
    """The text of one utterance, and how much of it stands in rows that nothing can change."""

    prefix: str = ""
    stays: str = ""  # with what is printed
    may_change: str = ""
    printed: int = 0  # characters in rows that are final
    is_done: bool = False

    @property
    def text(self) -> str:
        """What is not printed yet."""
        whole = self.stays + self.may_change
        return (self.prefix + whole.lstrip())[self.printed :] if whole.strip() else ""

    @property
    def firm(self) -> int:
        """How many characters of `text` stay."""
        return max(0, len(self.prefix) + len(self.stays.lstrip()) - self.printed)

    def final_rows(self, columns: int) -> list[str]:
        """Take out the rows that nothing can change any more."""
        text, firm, rows = self.text, self.firm, []
        for row in wrapped(text, columns):
            if row.settled is None or row.settled > firm:
                self.printed += row.start
                break
            rows.append(text[row.start : row.end])
        return rows


class Screen:
    """Redraws the rows that may still change, all in one write; the others scroll away.

    Args:
        write: puts text on the terminal.
        warn: puts a line on it that is no transcript.
        size: columns and rows of the terminal.
        has_times: whether each utterance begins with its time.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        warn: Callable[[str], None],
        has_times: bool = False,
        size: Callable[[], tuple[int, int]] = shutil.get_terminal_size,
    ) -> None:
        self._write = write
        self._warn = warn
        self._has_times = has_times
        self._size = size
        self._open: dict[str, GrowingText] = {}  # by item, in the order of the audio
        self._drawn: list[str] = []  # rows that may change, with their styles
        self._widths: list[int] = []  # of these rows, in columns

    def show(self, event: LiveEvent) -> None:
        """Draw what an event changes."""
        match event:
            case SpeechStarted():
                self._utterance(event.item_id, event.at)
            case Delta():
                utterance = self._utterance(event.item_id)
                utterance.stays += cleaned(event.text)
                utterance.may_change = ""
            case Hypothesis():
                self._utterance(event.item_id).may_change = cleaned(event.text)
            case Completed():
                self._complete(event)
            case Failed():
                utterance = self._utterance(event.item_id)
                utterance.may_change, utterance.is_done = "", True
                self.say(reason(event.error))
            case CommandRefused():
                self.say(reason(event.error))
        self._draw()

    def say(self, line: str) -> None:
        """Print a line that is no transcript above what may change."""
        self._write(self._home() + CLEAR_BELOW)
        self._drawn, self._widths = [], []
        self._warn(line)
        self._draw()

    def close(self) -> None:
        """Leave the cursor at the start of a row."""
        if self._drawn:
            self._write("\n")
        self._drawn, self._widths = [], []

    def _utterance(self, item: str, at: float | None = None) -> GrowingText:
        if item not in self._open:
            prefix = began_at(at) if self._has_times and at is not None else ""
            self._open[item] = GrowingText(prefix)
        return self._open[item]

    def _complete(self, event: Completed) -> None:
        utterance = self._utterance(event.item_id, event.start)
        if not utterance.stays:  # of a server that tells all at the end
            utterance.stays = cleaned(event.text)
        utterance.may_change, utterance.is_done = "", True

    def _draw(self) -> None:
        """Bring the terminal up to date: final rows first, then those that may change."""
        columns, rows = self._size()
        columns = max(FEWEST_COLUMNS, columns) - 1  # in the last one the cursor would hang
        final = self._final_rows(columns)
        drawn, widths = self._growing(columns)
        drawn, widths = drawn[: max(1, rows - 1)], widths[: max(1, rows - 1)]
        if not final and drawn == self._drawn:
            return
        lines = "".join(f"{row}{CLEAR_ROW}\n" for row in final)
        lines += f"{CLEAR_ROW}\n".join(drawn) + CLEAR_BELOW
        self._write(self._home() + lines)
        self._drawn, self._widths = drawn, widths

    def _home(self) -> str:
        """What moves the cursor to the start of the rows that may change.

        A terminal that has become narrower has broken them into more rows.
        """
        columns = max(1, self._size()[0])
        above = sum(max(1, -(-one // columns)) for one in self._widths) - 1
        return "\r" + (UP.format(above) if above > 0 else "")

    def _final_rows(self, columns: int) -> list[str]:
        """Take out what is final: whole utterances, and the first rows of the next one."""
        rows: list[str] = []
        for item, utterance in list(self._open.items()):
            if not utterance.is_done:
                return rows + utterance.final_rows(columns)
            del self._open[item]
            if text := utterance.text.rstrip():
                rows += [text[row.start : row.end] for row in wrapped(text, columns)]
        return rows

    def _growing(self, columns: int) -> tuple[list[str], list[int]]:
        """The rows that may change, with their styles, and their widths."""
        drawn, widths = [], []
        for utterance in self._open.values():
            if text := utterance.text:
                for row in wrapped(text, columns):
                    drawn.append(_styled(text, row.start, row.end, utterance.firm))
                    widths.append(width(text[row.start : row.end]))
        return drawn, widths


def _styled(text: str, start: int, end: int, firm: int) -> str:
    middle = min(max(start, firm), end)
    dim = text[middle:end]
    return text[start:middle] + (f"{DIM}{dim}{PLAIN}" if dim else "")
