"""Finds channels that are equal to an earlier one, such as those of a doubled mono recording."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from asr.pcm import SAMPLE_RATE, Samples
from asr.vad.detector import Span

HOP_SAMPLES = SAMPLE_RATE // 10  # Channels are compared over so many samples at a time: 0.1 s.
HOP_SECONDS = HOP_SAMPLES / SAMPLE_RATE
# Of a channel's power at most this part may be no copy of the other: -15 dB. MP3 at 32 kbit/s that
# codes two equal channels one by one reaches -18 dB; two voices or two microphones are far above.
MOST_DIFFERENT = 0.03
# The same around each hop that is loud or has speech, -8 dB: there that MP3 reaches -10 dB, and a
# short word that only one channel has -4 dB.
MOST_DIFFERENT_AROUND = 0.15
AROUND = np.ones(3, np.float32)  # A hop is judged together with the one before and the one after.
LOUD = 1e-3  # A hop with this part of the power of the loudest one (-30 dB) is loud.
MOST_GAIN = 4.0  # A copy may be so many times as loud, or as quiet: 12 dB.
SHORTEST_COPY = 3.0  # Of a window that is no copy, a stretch of so many seconds may be one.
STEP = 0.5  # Such a stretch is looked for every so many seconds.
MARGIN = 1.0  # A stretch ends where it is quietest in so many seconds, lest a word is cut.
MOST_STRETCHES = 2  # A window is cut at no more stretches: each piece costs as much as a window.
FAINTEST = 1e-8  # Below this mean square (-80 dB) nothing is compared: it is silence.


class Likeness:
    """Compares the channels of one recording while it is read.

    Only the products of the channels are kept, summed over each hop, until `forget`.

    Args:
        count: channels.
    """

    def __init__(self, count: int) -> None:
        self._rest: Samples = np.empty((0, count), np.float32)
        self._products: Samples = np.empty((0, count, count), np.float32)
        self._first = 0  # the number of the first hop that is kept

    def push(self, block: Samples) -> None:
        """Take the next samples, [samples, channels]."""
        held = np.concatenate([self._rest, block])
        whole = len(held) // HOP_SAMPLES * HOP_SAMPLES
        self._rest = held[whole:].copy()
        hops = held[:whole].reshape(-1, HOP_SAMPLES, held.shape[1])
        products = np.matmul(hops.transpose(0, 2, 1), hops) / HOP_SAMPLES
        self._products = np.concatenate([self._products, products])

    def forget(self, before: float) -> None:
        """Drop what lies before so many seconds."""
        count = min(len(self._products), max(0, int(before / HOP_SECONDS) - self._first))
        self._products = self._products[count:].copy()
        self._first += count

    def is_copy(self, channel: int, start: float, end: float, speech: Sequence[Span]) -> bool:
        """Whether a channel is equal to an earlier one between two times.

        It may be louder, quieter or its negative, and differ where it is quiet and nobody speaks.

        Args:
            speech: of the channel, between these times.
        """
        first, last = round(start / HOP_SECONDS), math.ceil(end / HOP_SECONDS)
        products = self._products[max(0, first - self._first) : max(0, last - self._first)]
        own = products[:, channel, channel]
        if not len(products) or own.mean() < FAINTEST:
            return False
        checked = own >= LOUD * own.max()
        for span in speech:
            begin, stop = (round(time / HOP_SECONDS) - first for time in (span.start, span.end))
            checked[max(0, begin) : max(0, stop)] = True
        return any(_is_like(products, channel, other, checked) for other in range(channel))

    def copied_stretches(
        self, channel: int, start: float, end: float, speech: Sequence[Span]
    ) -> list[Span]:
        """The longest stretches between two times in which a channel is equal to an earlier one.

        Args:
            speech: of the channel, between these times.

        Returns:
            At most two, in order. One that begins or ends inside does so in a quiet moment.
        """
        found, at = [], start
        while at + SHORTEST_COPY <= end:
            if not self._is_copied(channel, at, at + SHORTEST_COPY, speech):
                at += STEP
                continue
            stretch = Span(at, self._copied_until(channel, at, end, speech))
            found.append(stretch)
            at = stretch.end + STEP
        longest = sorted(found, key=lambda each: each.seconds)[-MOST_STRETCHES:]
        inner = (self._between_words(each, channel, start, end) for each in longest)
        return sorted(inner, key=lambda each: each.start)

    def _is_copied(self, channel: int, start: float, end: float, speech: Sequence[Span]) -> bool:
        said = [span for span in speech if span.end > start and span.start < end]
        return self.is_copy(channel, start, end, said)

    def _copied_until(
        self, channel: int, start: float, end: float, speech: Sequence[Span]
    ) -> float:
        """How far a channel that is a copy from `start` on stays one, to a hop."""
        if self._is_copied(channel, start, end, speech):
            return end
        same, other = round((start + SHORTEST_COPY) / HOP_SECONDS), math.floor(end / HOP_SECONDS)
        while other - same > 1:
            middle = (same + other) // 2
            if self._is_copied(channel, start, middle * HOP_SECONDS, speech):
                same = middle
            else:
                other = middle
        return min(end, same * HOP_SECONDS)

    def _between_words(self, stretch: Span, channel: int, start: float, end: float) -> Span:
        """`stretch` with its inner ends moved to where the channel is quietest."""
        begins, ends = stretch.start, stretch.end
        if begins > start:
            begins = self._quietest(channel, begins, begins + MARGIN)
        if ends < end:
            ends = self._quietest(channel, ends - MARGIN, ends)
        return Span(begins, ends)

    def _quietest(self, channel: int, start: float, end: float) -> float:
        """The middle of the quietest hop between two times."""
        first, last = round(start / HOP_SECONDS), round(end / HOP_SECONDS)
        power = self._products[first - self._first : last - self._first, channel, channel]
        return (first + int(power.argmin()) + 0.5) * HOP_SECONDS


def _is_like(products: Samples, channel: int, other: int, checked: Samples) -> bool:
    """Whether one channel is another one at some gain.

    Args:
        products: mean products of all channels, [hops, channels, channels].
        checked: hops that must be alike, [hops].
    """
    own, power = products[:, channel, channel], products[:, other, other]
    shared = products[:, channel, other]
    gain = shared.sum() / power.sum() if power.sum() > 0 else 0.0
    if not 1 / MOST_GAIN <= abs(gain) <= MOST_GAIN:
        return False
    difference = own - 2 * gain * shared + gain**2 * power
    if difference.sum() > MOST_DIFFERENT * own.sum():
        return False
    around = [np.convolve(each, AROUND)[1:-1] for each in (difference, np.maximum(own, FAINTEST))]
    is_alike = around[0] <= MOST_DIFFERENT_AROUND * around[1]
    return bool(is_alike[checked].all())
