"""Prints utterances where no terminal is: a line each, or each event as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

from asr.cli.live.rows import cleaned
from asr.errors import Failure
from asr.live.events import CommandRefused, Completed, Failed, LiveEvent, SpeechStarted

Write = Callable[[str], None]  # Prints a line.


class UtteranceLines:
    """Prints the text of each utterance, once it is complete.

    Args:
        warn: prints a line that is no transcript.
        has_times: whether each line begins with the time of its utterance.
    """

    def __init__(self, write: Write, warn: Write, has_times: bool = False) -> None:
        self._write = write
        self._warn = warn
        self._has_times = has_times
        self._starts: dict[str, float] = {}  # seconds, by item

    def show(self, event: LiveEvent) -> None:
        """Print what an event completes."""
        match event:
            case SpeechStarted():
                self._starts[event.item_id] = event.at
            case Completed():
                start = self._starts.pop(event.item_id, event.start)
                if text := cleaned(event.text).strip():
                    self._write((began_at(start) if self._has_times else "") + text)
            case Failed() | CommandRefused():
                self._warn(reason(event.error))

    def say(self, line: str) -> None:
        self._warn(line)

    def close(self) -> None:
        """Nothing is left to print."""


class EventLines:
    """Prints each event as a JSON object."""

    def __init__(self, write: Write, warn: Write) -> None:
        self._write = write
        self._warn = warn

    def show(self, event: LiveEvent) -> None:
        self._write(json.dumps(described(event), ensure_ascii=False))

    def say(self, line: str) -> None:
        self._warn(line)

    def close(self) -> None:
        """Nothing is left to print."""


def described(event: LiveEvent) -> dict[str, Any]:
    """The event as JSON: its `type`, and each field that is not empty."""
    kind = re.sub("(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    values = {field.name: _json(getattr(event, field.name)) for field in fields(event)}
    return {"type": kind, **{name: value for name, value in values.items() if value is not None}}


def _json(value: Any) -> Any:
    """A field's value as JSON has it; None for an empty one."""
    if isinstance(value, Exception):
        failure = Failure.of(value)
        return {"code": failure.code, "message": failure.message}
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, tuple):
        return [_json(asdict(one)) for one in value] or None
    if isinstance(value, Mapping):
        return {name: _json(one) for name, one in value.items()} or None
    return value


def began_at(seconds: float) -> str:
    """What a line begins with whose speech began at this time: "[1:02.5] "."""
    minutes, rest = divmod(round(10 * seconds), 600)
    return f"[{minutes}:{rest / 10:04.1f}] "


def reason(error: Exception) -> str:
    return cleaned(Failure.of(error).message)
