"""The windows that wait for the encoder, and when its next batch is due."""

from __future__ import annotations

from collections import abc, deque

from asr.engines.engine import Window
from asr.engines.whisper.capacity import CapacityPlan
from asr.engines.whisper.sequence import Sequence


class EncoderQueue:
    """Keeps waiting windows in order, and shares the device between encoder and decoder."""

    def __init__(self) -> None:
        self._windows: deque[Window] = deque()
        self._was_live = False  # the last batch
        self._decoded = 0  # tokens of each sequence since the last encoder batch
        self._first: Sequence | None = None  # a stream's first one, until its first words

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, windows: abc.Iterable[Window]) -> None:
        self._windows.extend(windows)

    @property
    def live(self) -> int:
        """How many live windows wait."""
        return sum(window.options.is_live for window in self._windows)

    def take(self, most: int, was_idle: bool, plan: CapacityPlan) -> list[Window]:
        """Take out the next batch, at most so many: live ones go first.

        Side by side each takes longer. So live windows, and the first one of a stream that had the
        engine to itself, are beside no others; and behind a live one the next is alone, because
        the session's next will soon wait for it.

        Args:
            was_idle: nothing was held when these windows came.
        """
        is_live, waited_for = self.live > 0, self._was_live
        if plan.side_by_side and is_live:
            most = min(most, self.live)
        elif plan.side_by_side and (waited_for or (was_idle and self._next.options.is_streamed)):
            most = 1
        self._was_live = is_live
        return [self._pop() for _ in range(min(most, len(self._windows)))]

    @property
    def _next(self) -> Window:
        return next((each for each in self._windows if each.options.is_live), self._windows[0])

    def _pop(self) -> Window:
        window = self._next
        self._windows.remove(window)
        return window

    def put_back(self, windows: abc.Sequence[Window]) -> None:
        """Let windows wait again, before all others."""
        self._windows.extendleft(reversed(windows))

    def remove(self, window: Window) -> None:
        """Forget a window, if it waits."""
        if window in self._windows:
            self._windows.remove(window)

    def is_due(self, active: int, plan: CapacityPlan) -> bool:
        """Return whether the encoder goes before the decoder now.

        A live window never waits.

        Args:
            active: sequences that are being decoded.
        """
        if not self._windows or self.live:
            return bool(self._windows)
        first = self._first
        is_wordless = first is not None and first.is_decoding_first_words
        if is_wordless and self._decoded < plan.head_start:
            return False
        self._first = None
        return active < plan.few_rows or self._decoded >= plan.encoder_spacing

    def goes_on(self, encoded: int, active: abc.Sequence[Sequence], plan: CapacityPlan) -> bool:
        """Return whether more windows may be encoded before any token is decoded.

        After a full batch others may wait outside, and a step of few rows takes nearly as long as
        one of many.

        Args:
            encoded: how many windows were encoded just now.
            active: the sequences that are being decoded.
        """
        if not plan.side_by_side or encoded < plan.encoder_batch or len(active) >= plan.few_rows:
            return False
        options = [each.window.options for each in active]
        return not any(each.is_live or each.is_streamed for each in options)

    def note_encoded(self, first: Sequence | None) -> None:
        """Count tokens from here on; the words of `first` go before the next encoder batch.

        Not to be called for live windows alone: the others would have to wait for longer.
        """
        self._decoded = 0
        self._first = first

    def note_decoded(self, tokens: int) -> None:
        self._decoded += tokens
