"""Which of a window's frames are computed: of the padding behind its audio every fourth one is.

Whisper takes windows of 30 s, and what is shorter is padded with silence. The padding cannot be
left out: the model was trained with it, and without it goes wrong. But its frames differ in their
positions alone, so one of them stands for its neighbours: attention counts it four times, which is
to add log 4 to its scores. A clip of 5 s has 608 frames then, for 1500.

The same idea as in https://arxiv.org/abs/2210.09461 (ToMe), section 3, "proportional attention".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch

MARGIN = 25  # So many frames behind the audio, half a second, are all kept at least.
STANDS_FOR = 4  # A frame that is kept of the rest stands for so many.
# The frames before the rest are a multiple of so many: oneDNN prepares its products for each
# number of frames anew, and there are 24 numbers then for windows of 30 s.
ROUNDED_TO = 64


@dataclass(frozen=True)
class KeptFrames:
    """The frames of a window, T, that are computed, K: the first ones, and some behind them."""

    every: int  # T
    first: int  # So many are kept without a gap, the audio's among them.

    @classmethod
    def of(cls, audio: int, every: int) -> KeptFrames:
        """Return what is kept of a window.

        Args:
            audio: frames of its audio.
            every: frames of the window.
        """
        first = -(-(audio + MARGIN) // ROUNDED_TO) * ROUNDED_TO
        return _kept(every, min(first, every))

    @property
    def count(self) -> int:
        """K."""
        return self.first + -(-(self.every - self.first) // STANDS_FOR)

    @property
    def is_whole(self) -> bool:
        return self.first == self.every

    @functools.cached_property
    def places(self) -> torch.Tensor:
        """Where the kept frames lie in the window, int64 [K]."""
        middles = torch.arange(self.first + STANDS_FOR // 2, self.every + STANDS_FOR, STANDS_FOR)
        rest = middles[: self.count - self.first].clamp_(max=self.every - 1)
        return torch.cat([torch.arange(self.first), rest])

    @functools.cached_property
    def log_counts(self) -> torch.Tensor:
        """The logarithm of how many frames each kept one stands for, float32 [K]."""
        counts = torch.ones(self.count)
        counts[self.first :] = STANDS_FOR
        counts[-1] = 1 if self.is_whole else (self.every - self.first - 1) % STANDS_FOR + 1
        return counts.log_()


@functools.cache
def _kept(every: int, first: int) -> KeptFrames:
    """Return the one object for these numbers: it keeps its tensors."""
    return KeptFrames(every, first)
