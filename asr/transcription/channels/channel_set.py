"""The channels of one recording: filled from blocks, cut in the order of time, told together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from asr.audio.damage import Damage
from asr.engines.engine import Window
from asr.errors import BadAudio
from asr.options import Options
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcript import Coverage, Segment
from asr.transcription.channels.channel import AudioChannel
from asr.transcription.channels.likeness import Likeness
from asr.transcription.channels.merger import Merger
from asr.transcription.setup import TranscriptionSetup
from asr.vad.detector import Span

SHORTEST_SAID = 1.0  # Seconds of speech in a stretch, for which it is worth a piece of its own.


class ChannelSet:
    """All channels of a recording, known with its first samples; or their mix as the only one."""

    def __init__(self, setup: TranscriptionSetup, options: Options) -> None:
        self._setup = setup
        self._options = options
        self._likeness: Likeness | None = None
        self._merger = Merger()
        self.damage = Damage()
        self.is_split = options.channels == "split"
        self.all: list[AudioChannel] = []
        if not self.is_split:
            self.all.append(AudioChannel(setup, options, self.damage, None))

    @property
    def held_samples(self) -> int:
        """Samples that are in no window yet."""
        return sum(channel.cutter.held_samples for channel in self.all)

    @property
    def most_held(self) -> int:
        """Samples that can be held without a complete window."""
        return sum(channel.cutter.most_held for channel in self.all)

    def growth(self, samples: int) -> int:
        """Samples that are held at most for so many more of each channel."""
        return sum(channel.cutter.growth(samples) for channel in self.all)

    @property
    def complete(self) -> AudioChannel | None:
        """The channel whose next window is complete, and begins first."""
        ready = [channel for channel in self.all if channel.cutter.has_window]
        return min(ready, key=lambda channel: channel.cutter.begins_at, default=None)

    def take(self, block: Samples) -> None:
        """Take the next [samples], or [samples, channels] where they are split.

        Raises:
            BadAudio: it has not as many channels as the blocks before.
        """
        if not self.is_split:
            self.all[0].take(block)
            return
        if self._likeness is None:
            self._open(block.shape[1])
        if block.shape[1] != len(self.all):
            raise BadAudio(
                f"the audio has {len(self.all)} channels, and later {block.shape[1]}: leave "
                "channels out, or send it in parts"
            )
        for channel, samples in zip(self.all, block.T, strict=True):
            channel.take(samples.copy())  # a view would keep the block in memory
        if self._likeness is not None:
            self._likeness.push(block)

    def detect_rest(self) -> None:
        """Detect speech up to the end: no samples follow."""
        for channel in self.all:
            channel.detect_rest()

    def rest(self) -> list[tuple[AudioChannel, Window]]:
        """The last windows of all channels, by their start."""
        last = [(channel, window) for channel in self.all for window in channel.cutter.finish()]
        return sorted(last, key=lambda pair: pair[1].start)

    def parted(self, channel: AudioChannel, window: Window) -> list[Window]:
        """A channel's next window, cut where the channel begins or ceases to be a copy.

        Otherwise what several channels say alike would be in the text of each. Windows that
        overlap stay whole: their joiner expects the whole overlap.
        """
        if self._likeness is None or not channel.number or self._setup.overlap:
            return [window]
        span = (window.start, window.end)
        speech = channel.speech(*span)
        if self._likeness.is_copy(channel.number, *span, speech):
            return [window]
        cuts = [0]
        for stretch in self._likeness.copied_stretches(channel.number, *span, speech):
            if _is_said(channel, stretch):
                edges = (stretch.start, stretch.end)
                cuts += [round((edge - window.start) * SAMPLE_RATE) for edge in edges]
        pieces = pairwise([*cuts, len(window.samples)])
        return [_piece(window, first, last) for first, last in pieces if last > first]

    def compare(self, channel: AudioChannel, window: Window) -> bool:
        """Whether a channel's next window, in their order, is that of an earlier channel."""
        if self._likeness is None or channel.number is None:
            return False
        span = (window.start, window.end)
        is_copy = self._likeness.is_copy(channel.number, *span, channel.speech(*span))
        channel.note(window, is_copy)
        return is_copy

    def forget(self) -> None:
        """Forget what was needed to compare the windows so far."""
        if self._likeness is not None:
            self._likeness.forget(min(channel.cutter.begins_at for channel in self.all))

    def merge(self, segments: Iterable[Segment]) -> tuple[Segment, ...]:
        """Take the next segments of a channel; those of all that are now in order."""
        if not self.is_split:
            return tuple(segments)
        return self._merger.push(segments, min(channel.frontier for channel in self.all))

    def finish(self) -> tuple[Segment, ...]:
        """The segments that were held back: no result follows."""
        held = [segment for channel in self.all for segment in channel.finish()]
        return self._merger.push(held, float("inf")) if self.is_split else tuple(held)

    def record_text(self, segments: Iterable[Segment]) -> None:
        """Count segments of the transcript as text of their channels' speech."""
        for segment in segments:
            self.all[segment.channel or 0].coverage.record_text([segment])

    @property
    def language(self) -> str | None:
        """The language of the first channel in which one is known."""
        return next((each.language for each in self.all if each.language is not None), None)

    @property
    def languages(self) -> tuple[str | None, ...] | None:
        """The language of each channel, without copies after the last other one; None of a mix."""
        if not self.is_split:
            return None
        return tuple(channel.language for channel in self._own)

    @property
    def language_probabilities(self) -> tuple[float | None, ...]:
        """How likely each of `languages` is, or the one of a mix; None: nobody detected it."""
        return tuple(channel.language_probability for channel in self._own)

    @property
    def _own(self) -> list[AudioChannel]:
        """The channels without copies after the last other one."""
        count = 1 + max((n for n, channel in enumerate(self.all) if not channel.is_copy), default=0)
        return self.all[:count]

    def coverage(self) -> Coverage | None:
        """How much of the speech of all channels has text; None where VAD is off."""
        found = [
            (channel.number, told)
            for channel in self.all
            if not channel.is_copy and (told := channel.coverage.coverage()) is not None
        ]
        if not self.is_split or not found:
            return found[0][1] if found else None
        gaps = [replace(gap, channel=number) for number, told in found for gap in told.gaps]
        return Coverage(
            round(sum(told.speech for _, told in found), 3),
            round(sum(told.covered for _, told in found), 3),
            tuple(sorted(gaps, key=lambda gap: (gap.start, gap.channel))),
        )

    def _open(self, count: int) -> None:
        self.all = [
            AudioChannel(self._setup, self._options, self.damage, number) for number in range(count)
        ]
        self._likeness = Likeness(count)


def _is_said(channel: AudioChannel, stretch: Span) -> bool:
    """Whether enough is said in a stretch of a channel; True where VAD is off."""
    if channel.coverage.track is None:
        return True
    said = sum(span.seconds for span in channel.speech(stretch.start, stretch.end))
    return said >= SHORTEST_SAID


def _piece(window: Window, first: int, last: int) -> Window:
    """The samples `first` to `last` of a window, at their place in the recording."""
    start = window.start + first / SAMPLE_RATE
    return replace(window, samples=window.samples[first:last], start=start)
