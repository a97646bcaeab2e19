"""Converts PCM of any rate and any channels to the models' input: 16 kHz mono."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import soxr

SAMPLE_RATE = 16_000  # All audio is resampled to so many samples per second.
MIXED_CHANNELS = 2  # Audio with more channels is left to ffmpeg, which knows what each of them is.
LOWEST_RATE = 1_000  # Fewer samples per second are refused: a few bytes would be hours of audio.
HIGHEST_RATE = 768_000  # Audio of a higher rate is left to ffmpeg: one second could be gigabytes.
BLOCK_SECONDS = 10  # So many seconds are decoded at a time.
BLOCK_RATE = 100_000  # At a rate above this, in samples per second, a block is shorter.
FULL_SCALE = 32_768  # A 16-bit sample of this size would be 1.0.
HOPS_PER_SECOND = 2  # Channels are compared so many times per second of audio.
COMPARED_RATE = 16_000  # Of about so many samples per second all are compared.
FIRST_LOOK = 8  # At first one of so many of these is compared, to save time.
SUSPECTED = -0.4  # Channels with a lower correlation at first look are compared in full.
DELAYS = 16  # Channels are also compared with up to so many of these samples between them: 1 ms.
# Channels with a lower correlation than this oppose each other: their sum has less than a fifth
# of the power of their difference.
OPPOSED = -0.7
FAINTEST = 1e-8  # Channels with a smaller mean square (-80 dB) are not compared: it is noise.
FADES_PER_SECOND = 50  # From one mix to another takes a second divided by this.

Samples = npt.NDArray[np.float32]  # [samples], 16 kHz mono, -1..1
Frames = npt.NDArray[np.float32] | npt.NDArray[np.int16]  # [frames, channels]


class Resampler:
    """Converts one recording to 16 kHz mono, block by block."""

    def __init__(self, rate: int) -> None:
        self._mixer = ChannelMixer(rate)
        self._resampler = None
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")

    @property
    def holds_back(self) -> bool:
        """Whether samples may still follow when all frames have been pushed."""
        return self._resampler is not None or self._mixer.holds_back

    def push(self, frames: Frames, is_last: bool) -> Samples:
        """Convert the next [frames, channels] to [samples]."""
        mixed = self._mixer.push(_finite(frames), is_last)
        if self._resampler is None:
            return mixed
        resampled: Samples = self._resampler.resample_chunk(mixed, last=is_last)
        return resampled.clip(-1.0, 1.0)


class ChannelResampler:
    """Converts one recording to 16 kHz, each of its channels by itself, block by block.

    All channels go through the same filter, so that none is moved against another.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._resampler = None
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, channels, dtype="float32")

    @property
    def holds_back(self) -> bool:
        """Whether samples may still follow when all frames have been pushed."""
        return self._resampler is not None

    def push(self, frames: Frames, is_last: bool) -> Samples:
        """Convert the next [frames, channels] to [samples, channels]."""
        floats = floats_of(_finite(frames))
        if self._resampler is None:
            return floats
        resampled: Samples = self._resampler.resample_chunk(floats, last=is_last)
        return resampled.clip(-1.0, 1.0)


def floats_of(frames: Frames) -> Samples:
    """Frames, [frames, channels], as numbers between -1 and 1."""
    if frames.dtype == np.int16:
        return np.multiply(frames, np.float32(1 / FULL_SCALE), dtype=np.float32)
    floats: Samples = frames.astype(np.float32, copy=False)
    return floats


def plain_mix(frames: Frames) -> Samples:
    """Mix [frames, channels] to [frames]; of floats at most two."""
    if frames.dtype == np.int16:
        return mixed_integers(frames)
    if frames.shape[1] == 1:
        only: Samples = frames[:, 0].astype(np.float32, copy=False)
        return only
    both: Samples = (frames[:, 0] + frames[:, 1]) * np.float32(0.5)
    return both


def all_channels(frames: Frames) -> Frames:
    """The channels that `frames`, [..., channels], are to be mixed of: all as they are."""
    return frames


class ChannelMixer:
    """Mixes the channels of one recording so that none cancels another.

    Twice a second channels are compared. Those that oppose the others are added with their sign
    changed, until they clearly agree again; without such channels the mix is the plain one. The
    result does not depend on how the frames are divided between calls.

    Args:
        rate: frames per second.
        plain: mixes [frames, columns] to [frames].
        channels: the channels, [..., channels], of some [..., columns].
    """

    def __init__(
        self,
        rate: int,
        plain: Callable[[Frames], Samples] = plain_mix,
        channels: Callable[[Frames], Frames] = all_channels,
    ) -> None:
        self._hop = max(1, rate // HOPS_PER_SECOND)  # frames that are compared together
        self._step = max(1, rate // COMPARED_RATE)  # of so many frames one is compared
        self._fade = max(1, rate // FADES_PER_SECOND)  # frames
        self._plain = plain
        self._channels = channels
        self._held: Frames | None = None
        self._signs: tuple[int, ...] | None = None  # of each channel; None: of all the same

    @property
    def holds_back(self) -> bool:
        """Whether frames wait for those that are compared with them."""
        return self._held is not None

    def push(self, frames: Frames, is_last: bool) -> Samples:
        """Mix the next [frames, columns] to [frames]; less than half a second is held back."""
        if frames.shape[1] == 1:
            return self._plain(frames)
        if self._held is not None:
            frames = np.concatenate([self._held, frames])
        whole = len(frames) // self._hop * self._hop
        parts = [self._mixed(frames[:whole], self._hop)] if whole else []
        rest, self._held = frames[whole:], None
        if len(rest) and is_last:
            parts.append(self._mixed(rest, len(rest)))
        elif len(rest):
            self._held = rest.copy()  # a view would keep all frames in memory
        if not parts:
            return np.zeros(0, np.float32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _mixed(self, frames: Frames, hop: int) -> Samples:
        """Mix whole hops."""
        suspects = self._suspects(frames, hop)
        if self._signs is None and not suspects.any():
            return self._plain(frames)
        parts = []
        for number, is_suspect in enumerate(suspects):
            part = frames[number * hop : (number + 1) * hop]
            if self._signs is None and not is_suspect:
                parts.append(self._plain(part))
                continue
            before, self._signs = self._signs, _signs(self._changes(part), self._signs)
            mixed = self._with(self._signs, part)
            if before != self._signs:
                _fade(self._with(before, part[: self._fade]), mixed)
            parts.append(mixed)
        return np.concatenate(parts)

    def _suspects(self, frames: Frames, hop: int) -> npt.NDArray[np.bool_]:
        """Whether channels may oppose each other in each hop, [hops]."""
        hops = frames.reshape(-1, hop, frames.shape[1])
        far = FIRST_LOOK * self._step
        later = self._channels(hops[:, self._step :: far])
        values = self._channels(hops[:, ::far][:, : later.shape[1]])
        if later.shape[-1] != 2 or later.shape[1] < FIRST_LOOK:
            return np.ones(len(hops), np.bool_)
        first, second = np.moveaxis(np.subtract(later, values, dtype=np.float32), -1, 0)
        together = np.einsum("hm,hm->h", first, second)
        powers = np.einsum("hm,hm->h", first, first) + np.einsum("hm,hm->h", second, second)
        suspects: npt.NDArray[np.bool_] = 2 * together < SUSPECTED * powers
        return suspects

    def _changes(self, frames: Frames) -> Samples:
        """The differences between samples of one hop: a constant or a hum counts for little.

        Returns:
            [samples, channels]
        """
        values = self._channels(frames[:: self._step]).astype(np.float32)
        if frames.dtype == np.int16:
            values *= np.float32(1 / FULL_SCALE)
        changes: Samples = np.diff(values, axis=0)
        return changes

    def _with(self, signs: tuple[int, ...] | None, frames: Frames) -> Samples:
        """Mix [frames, columns] to [frames], each channel with its sign."""
        if signs is None:
            return self._plain(frames)
        scale = 1 / FULL_SCALE if frames.dtype == np.int16 else 1.0
        mixed: Samples = np.zeros(len(frames), np.float32)
        for sign, channel in zip(signs, self._channels(frames).T, strict=True):
            mixed += channel * np.float32(sign * scale / len(signs))
        return mixed


def _signs(changes: Samples, before: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The sign of each channel, by one hop of them, [samples, channels]; None: all the same.

    The loudest channel is taken first. Each other one is compared with the mean of those before it,
    and keeps its sign unless it clearly agrees with them or opposes them. What agrees with a delay,
    as with two microphones, does not oppose.
    """
    length, count = changes.shape
    alike = changes.T @ changes
    if np.trace(alike) < FAINTEST * count * max(1, length):
        return before
    delayed = np.stack(
        [changes[:-delay].T @ changes[delay:] for delay in range(1, min(DELAYS + 1, length))]
        or [alike]
    )
    old = before or (1,) * count
    first, *others = np.argsort(-np.diag(alike), kind="stable")
    signs = np.zeros(count, np.float32)
    signs[first] = 1
    for number, channel in enumerate(others, 1):
        mean = signs / number  # of the channels so far, each with its sign
        power = alike[channel, channel] + mean @ alike @ mean or np.float32(1)
        correlation = 2 * (alike[channel] @ mean) / power
        with_delay = (
            2
            * max(np.max(delayed[:, channel] @ mean), np.max(mean @ delayed[..., channel].T))
            / power
        )
        if correlation < OPPOSED and with_delay < -correlation:
            signs[channel] = -1
        else:
            signs[channel] = 1 if correlation > -OPPOSED else old[channel] * old[first]
    agreement = float(signs @ np.array(old, np.float32)) or signs[0] * old[0]
    return _named(int(sign * np.sign(agreement)) for sign in signs)


def _named(signs: Iterable[int]) -> tuple[int, ...] | None:
    found = tuple(signs)
    return None if len(set(found)) == 1 else found


def _fade(before: Samples, after: Samples) -> None:
    """Let `after` begin as `before` goes on, in place."""
    share = np.linspace(0, 1, len(before), endpoint=False, dtype=np.float32)
    after[: len(before)] = before + (after[: len(before)] - before) * share


def _finite(frames: Frames) -> Frames:
    """NaN becomes silence, and values outside -1..1 are clipped."""
    if frames.dtype == np.int16:
        return frames
    floats: Samples = np.nan_to_num(frames, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.clip(floats, -1.0, 1.0, out=floats)


def mixed_integers(frames: Frames) -> Samples:
    """Mix 16-bit [frames, channels] to [frames], -1..1."""
    if frames.shape[1] == 1:
        return np.multiply(frames[:, 0], np.float32(1 / FULL_SCALE), dtype=np.float32)
    mixed: Samples
    if frames.shape[1] == 2:
        mixed = np.add(frames[:, 0], frames[:, 1], dtype=np.float32)  # faster than a sum
    else:
        mixed = frames.sum(axis=1, dtype=np.float32)
    mixed *= np.float32(1 / frames.shape[1] / FULL_SCALE)
    return mixed


def peak(samples: Samples) -> float:
    """The largest absolute value of `samples`, [samples]; 0 for none."""
    return max(float(np.max(samples, initial=0.0)), -float(np.min(samples, initial=0.0)))
