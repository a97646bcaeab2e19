"""Find when each token was said, from the attention of the alignment heads.

As openai/whisper's timing.py does: each head's attention over the window's frames is made
comparable between tokens, smoothed and averaged over the heads, and the best path through it
gives the times. Unlike there, a path leads through one segment, between the times that the model
wrote, and every token has a frame at least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asr.engines.whisper.model.transfer import HostCopy, to_device

FRAME_SECONDS = 0.02  # A frame of the encoder's output lasts so many seconds.
SMOOTHED_FRAMES = 7  # Attention is smoothed by the median of so many frames.
HEADS_SETTING = "alignment_heads"  # A generation config names the heads under this name.
HEADS_AT_ONCE = 8  # The scores of at most so many heads are in memory together.
# These comparators bring the median of seven to the fourth place (Knuth, volume 3, 5.3.4).
MEDIAN_OF_SEVEN = (
    (0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3),
    (3, 4),
)  # fmt: skip

Scores = npt.NDArray[np.float32]  # [tokens, frames]: how much rather there than elsewhere
Times = npt.NDArray[np.float64]  # seconds


@dataclass(frozen=True)
class Stretch:
    """Tokens of a window that were said between two times, one after the other."""

    places: Sequence[int]  # of the tokens, among the rows of `AlignmentInputs.queries`
    start: float  # seconds
    end: float  # seconds


@dataclass(frozen=True)
class AlignmentInputs:
    """Queries and keys of the alignment heads, for the tokens and frames of a window."""

    queries: torch.Tensor  # [heads, tokens, size], scaled: of what wrote each; row 0 is not used
    keys: torch.Tensor  # [heads, frames, size], of the frames that are not padding


def heads_of(generation_config: Any, layers: int, heads: int) -> tuple[tuple[int, int], ...]:
    """Return the alignment heads, (layer, head), whose attention follows the speech.

    A checkpoint may name none, or some that it does not have, as fine-tuned ones do: then all
    heads of its upper half are taken, as openai/whisper does.
    """
    named = [(layer, head) for layer, head in getattr(generation_config, HEADS_SETTING, None) or ()]
    if not named or any(layer >= layers or head >= heads for layer, head in named):
        named = list(product(range(layers // 2, layers), range(heads)))
    return tuple(sorted(named))


def frames_of(seconds: float) -> int:
    """Return how many frames a window of `seconds` has, without padding."""
    return max(1, math.ceil(round(seconds / FRAME_SECONDS, 6)))


@dataclass(frozen=True)
class Alignment:
    """The scores of a window's tokens, on their way to the host."""

    stretches: Sequence[Stretch]
    spans: Sequence[range]  # their frames
    scores: HostCopy  # [tokens, frames from the stretch's first one on]

    def times(self) -> list[Times]:
        """Return the start of each stretch's tokens, and the end of its last one."""
        scores: Scores = self.scores.wait().numpy()
        return [
            _times(scores[_with_next(stretch, len(scores))], stretch, span)
            for stretch, span in zip(self.stretches, self.spans, strict=True)
        ]


def align(inputs: AlignmentInputs, stretches: Sequence[Stretch]) -> Alignment:
    """Begin to compute the times of tokens; nothing here waits for the device.

    Args:
        stretches: one at least.
    """
    count, frames = inputs.queries.shape[1], inputs.keys.shape[1]
    spans = [_span(stretch, frames) for stretch in stretches]
    firsts = np.zeros(count, np.int64)  # each token's first frame
    for stretch, span in zip(stretches, spans, strict=True):
        firsts[_with_next(stretch, count)] = span.start
    width = max(len(span) for span in spans) + 1
    return Alignment(stretches, spans, HostCopy.of(scores_of(inputs, firsts, width)))


def _with_next(stretch: Stretch, count: int) -> list[int]:
    """Return the places of a stretch and of the next token, which takes the pause."""
    behind = stretch.places[-1] + 1
    return [*stretch.places, *([behind] if behind < count else [])]


def _span(stretch: Stretch, frames: int) -> range:
    """Return the frames of a stretch."""
    first = min(round(stretch.start / FRAME_SECONDS), frames - 1)
    return range(first, min(frames_of(stretch.end), frames))


def _times(scores: Scores, stretch: Stretch, span: range) -> Times:
    """Return when each token starts and the last one ends.

    Args:
        scores: [tokens and the one behind them, if any; frames from the span's first on].
    """
    count = len(stretch.places)
    if len(span) < count:
        return np.linspace(stretch.start, stretch.end, count + 1)
    has_next = len(scores) > count  # it may begin where the stretch ends, a frame behind it
    starts = path(scores[:, : len(span) + has_next])
    ends = starts if has_next else [*starts, len(span)]
    times = (span.start + np.asarray(ends, np.float64)) * FRAME_SECONDS
    return np.clip(times, stretch.start, stretch.end)


def path(scores: Scores) -> list[int]:
    """Return each token's first frame, on the path with the highest total score.

    Dynamic time warping in which every token takes a frame at least. The path is computed by the
    ends of tokens: if token i ends at frame j, that adds the scores of i up to j and takes off
    those of i + 1.

    Args:
        scores: [tokens, frames], no fewer frames than tokens.
    """
    values = np.cumsum(scores[:-1] - scores[1:], axis=1, dtype=np.float64)
    for before, value in pairwise(values):
        value[1:] += np.maximum.accumulate(before[:-1])
        value[0] = -np.inf
    firsts = [scores.shape[1]]  # of the tokens, the last one's follower before all
    for value in values[::-1]:
        firsts.append(int(value[: firsts[-1] - 1].argmax()) + 1)
    return [0, *firsts[:0:-1]]


def scores_of(inputs: AlignmentInputs, firsts: npt.NDArray[np.int64], width: int) -> torch.Tensor:
    """Score how well each token fits the `width` frames from its first one on.

    Returns:
        [tokens, width], on the device; frames past the window's end repeat the last one.
    """
    device, frames = inputs.keys.device, inputs.keys.shape[1]
    margin = SMOOTHED_FRAMES // 2
    near = torch.arange(-margin, width + margin, device=device)
    index = (near + to_device(firsts, device)[:, None]).clamp_(0, frames - 1)  # [tokens, width + 6]
    total = torch.zeros(len(firsts), width, device=device)
    groups = zip(inputs.queries.split(HEADS_AT_ONCE), inputs.keys.split(HEADS_AT_ONCE), strict=True)
    for queries, keys in groups:
        attention = (queries.float() @ keys.float().mT).softmax(dim=2)  # [heads, tokens, frames]
        spread, mean = torch.std_mean(attention[:, 1:], dim=1, correction=0, keepdim=True)
        attention.sub_(mean).div_(spread.clamp_(min=torch.finfo(torch.float32).tiny))
        near_attention = attention.gather(2, index.expand(len(queries), -1, -1))
        total += smoothed(near_attention).sum(dim=0)
    return total


def smoothed(values: torch.Tensor) -> torch.Tensor:
    """Return medians of seven neighbours along the last dimension, which becomes six shorter.

    A network of comparisons is 16 times as fast as sorting on a CPU.
    """
    length = values.shape[-1] - SMOOTHED_FRAMES + 1
    lanes = [values.narrow(-1, first, length) for first in range(SMOOTHED_FRAMES)]
    for low, high in MEDIAN_OF_SEVEN:
        one, other = lanes[low], lanes[high]
        lanes[low], lanes[high] = torch.minimum(one, other), torch.maximum(one, other)
    return lanes[SMOOTHED_FRAMES // 2]
