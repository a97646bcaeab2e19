"""The text before a window, as its prompt."""

from __future__ import annotations

import asyncio

from asr.engines.engine import WindowResult

MOST_LETTERS = 2000  # A prompt has at most so many: twice as much as half a text context holds.
HIGHEST_TEMPERATURE = 0.5  # Text of a higher temperature, and all before it, is no prompt.


class PreviousText:
    """The text of one recording so far, as the prompt of the window that follows it.

    As in openai/whisper the request's own prompt stands before the text, and all of it is
    forgotten when a window needed a high temperature, lest an error or a loop goes on.
    """

    def __init__(self, prompt: str | None) -> None:
        self._text = prompt or ""
        self._is_complete = asyncio.Event()  # It has the text of all windows with a prompt.
        self._is_complete.set()

    async def next_prompt(self) -> str | None:
        """Wait until the text of all windows so far is known; return the next one's prompt."""
        await self._is_complete.wait()
        self._is_complete.clear()
        return self._text.strip() or None

    def add(self, result: WindowResult) -> None:
        """Add the text of the window that was given the last prompt."""
        temperatures = [segment.temperature or 0.0 for segment in result.segments]
        is_hot = max(temperatures, default=0.0) > HIGHEST_TEMPERATURE
        if is_hot or result.rejected not in {None, "no speech"}:
            self._text = ""
        else:
            text = "".join(segment.text for segment in result.segments)
            text = text.replace("<|", "< |")  # a prompt may hold no special tokens
            self._text = (self._text + text)[-MOST_LETTERS:]
        self._is_complete.set()
