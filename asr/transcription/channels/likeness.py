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
