"""Cut PCM into windows, at pauses or with an overlap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from asr.engines.engine import Window
from asr.pcm import SAMPLE_RATE, Samples, peak

FRAME = SAMPLE_RATE // 50  # Loudness is measured over this many samples: 20 ms.
PAUSE = 0.3  # A cut lies in the middle of the quietest stretch of this many seconds.
PAUSE_FRAMES = round(PAUSE * SAMPLE_RATE / FRAME)
SEARCHED_SHARE = 1 / 3  # A cut is searched in this last part of a window.
AHEAD_SHARE = 1 / 6  # This part of a window is held beyond its end: the last one is not too short.
SCRAP_SECONDS = 0.15  # A codec may add so many seconds to audio of one window's length.
SCRAP_PEAK = 0.01  # -40 dBFS: what a codec added is dropped if it stays below this.


class Cutter:
    """Cuts a stream of PCM into windows of at most `window_seconds`.

    With `stride_seconds` None a window ends amid the quietest `pause_seconds` of its last third and
    the next one begins there. Otherwise windows are full and overlap by twice the stride, as the
    chunked Transformers pipeline does.

    Args:
        lookahead_seconds: a window is complete once so much after it is held, too.
    """

    def __init__(
        self,
        window_seconds: float,
        stride_seconds: float | None,
        pause_seconds: float = PAUSE,
        lookahead_seconds: float = 0.0,
    ) -> None:
        self._size = round(window_seconds * SAMPLE_RATE)
        self._overlap = round(2 * (stride_seconds or 0.0) * SAMPLE_RATE)
        self._cuts_at_pauses = stride_seconds is None
        self._ahead = round(self._size * AHEAD_SHARE) if self._cuts_at_pauses else 0
        # So many samples after a window are held when it is cut.
        self._lookahead = max(self._ahead, round(lookahead_seconds * SAMPLE_RATE))
        self._pause_frames = max(1, round(pause_seconds * SAMPLE_RATE / FRAME))
        self._held: list[Samples] = []
        self.held_samples = 0  # that were taken in and are in no window yet
        self._start = 0  # samples before the held ones
        self._shared = 0  # samples held that the window before has too

    @property
    def begins_at(self) -> float:
        """Where the next window begins, in seconds."""
        return self._start / SAMPLE_RATE

    @property
    def most_held(self) -> int:
        """Samples that can be held without a complete window."""
        return self._size + self._lookahead

    def growth(self, samples: int) -> int:
        """Samples that are held at most for so many more: windows may share some."""
        cuts = samples // (self._size - self._overlap) + 1
        return samples + cuts * self._overlap

    def push(self, block: Samples) -> Iterator[Window]:
        """Take in `block`, [samples] of any length; yield each window that is now complete."""
        self.take(block)
        while self.has_window:
            yield self.cut()

    def take(self, block: Samples) -> None:
        """Take in `block`, [samples] of any length."""
        self._held.append(block)
        self.held_samples += len(block)

    @property
    def has_window(self) -> bool:
        """Whether a window is complete."""
        return self.held_samples > self.most_held

    def cut(self) -> Window:
        """The next window, which is complete; some milliseconds of work."""
        held = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        end = self._cut(held)
        window = self._window(held[:end].copy())
        kept = end - self._overlap
        self._start += kept
        self._shared = self._overlap
        self._held, self.held_samples = [held[kept:].copy()], len(held) - kept  # no view of all
        return window

    def finish(self) -> Iterator[Window]:
        """Yield what is left; a last window that is too long becomes two of similar length."""
        while self.held_samples > self._size + self._ahead:
            yield self.cut()
        if self.held_samples > self._shared:
            held = self._without_scrap(np.concatenate(self._held))
            if len(held) > self._size:
                end = self._cut_between(held, len(held) // 3, min(self._size, len(held) * 2 // 3))
                yield self._window(held[:end])
                self._start += end
                held = held[end:]
            yield self._window(held)
        self._held, self.held_samples = [], 0

    def _without_scrap(self, held: Samples) -> Samples:
        """`held`, cut to the length of a window where only near silence makes it longer.

        A codec adds that at the end of a recording and at its beginning.
        """
        longer = len(held) - self._size
        if not 0 < longer <= SCRAP_SECONDS * SAMPLE_RATE:
            return held
        loud = np.flatnonzero(np.abs(held[-longer:]) >= SCRAP_PEAK)
        ahead = int(loud[-1]) + 1 if len(loud) else 0  # samples that have to go at the beginning
        if ahead and peak(held[:ahead]) >= SCRAP_PEAK:
            return held
        self._start += ahead
        return held[ahead : ahead + self._size]

    def _window(self, samples: Samples) -> Window:
        self.held_samples -= len(samples)
        overlap = self._shared / SAMPLE_RATE
        return Window(samples, start=self._start / SAMPLE_RATE, overlap=overlap)

    def _cut(self, held: Samples) -> int:
        """Where the window that starts `held` ends, in samples."""
        if not self._cuts_at_pauses:
            return self._size
        return self._cut_between(held, self._size - int(self._size * SEARCHED_SHARE), self._size)

    def _cut_between(self, held: Samples, first: int, last: int) -> int:
        room = (last - first) // (2 * FRAME)  # frames of the longest pause that is looked for
        if room < min(self._pause_frames, PAUSE_FRAMES):
            return last
        return first + quietest(held[first:last], min(self._pause_frames, room))


def quietest(samples: Samples, count: int = PAUSE_FRAMES) -> int:
    """The middle of the quietest `count` frames in `samples`, [n]; of equals, the last.

    Where there are fewer, it is the middle of all: one there must be.
    """
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    count = min(count, len(frames))
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    total = np.concatenate([[0.0], np.cumsum(power)])
    loudness = np.round(total[count:] - total[:-count], 9)
    last = len(loudness) - 1 - int(np.argmin(loudness[::-1]))
    return (last * FRAME) + count * FRAME // 2
