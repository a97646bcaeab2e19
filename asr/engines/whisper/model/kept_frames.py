"""Which of a window's frames are computed: all of its audio, every fourth of the padding.

Whisper takes windows of 30 s, and what is shorter is padded with silence. The padding cannot be
left out: the model was trained with it, and without it goes wrong. But its frames differ in their
positions alone, so one of them stands for its neighbours: attention counts it four times, which is
to add log 4 to its scores. A clip of 5 s has 615 frames then, for 1500.

Attention counts merged tokens so in https://arxiv.org/abs/2210.09461 (ToMe), section 3.
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
    """The frames of a window that are computed: K of T."""

    frames: int  # T
    first: int  # So many are kept without a gap, the audio's among them.

    @classmethod
    def of(cls, audio: int, frames: int) -> KeptFrames:
        """Return what is kept of a window.

        Args:
            audio: frames of its audio.
            frames: frames of the window.
        """
        first = -(-(audio + MARGIN) // ROUNDED_TO) * ROUNDED_TO
        return _kept(frames, min(first, frames))

    @property
    def count(self) -> int:
        """How many are kept: K."""
        return self.first + -(-(self.frames - self.first) // STANDS_FOR)

    @property
    def is_whole(self) -> bool:
        return self.first == self.frames

    @functools.cached_property
    def places(self) -> torch.Tensor:
        """Where the kept frames lie in the window, int64 [K]."""
        middles = torch.arange(self.first + STANDS_FOR // 2, self.frames + STANDS_FOR, STANDS_FOR)
        rest = middles[: self.count - self.first].clamp_(max=self.frames - 1)
        return torch.cat([torch.arange(self.first), rest])

    @functools.cached_property
    def log_counts(self) -> torch.Tensor:
        """The logarithm of how many frames each kept one stands for, float32 [K]."""
        counts = torch.ones(self.count)
        counts[self.first :] = STANDS_FOR
        counts[-1] = 1 if self.is_whole else (self.frames - self.first - 1) % STANDS_FOR + 1
        return counts.log_()


@functools.cache
def _kept(frames: int, first: int) -> KeptFrames:
    """Return the one object for these numbers: it keeps its tensors."""
    return KeptFrames(frames, first)
