"""From the bytes of one request to its windows; speech is detected along the way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from asr.audio.streams import Source
from asr.audio.tracks import part_of
from asr.engines.engine import Window
from asr.options import AudioPart, Options
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcription.channels.channel import AudioChannel
from asr.transcription.channels.channel_set import ChannelSet
from asr.transcription.diarizing.recording import BLOCK_SAMPLES, DiarizedRecording
from asr.transcription.scheduled_request import ScheduledRequest, Timings
from asr.transcription.setup import TranscriptionSetup


class WindowStream:
    """The windows of one recording, in order, each as soon as its samples have arrived.

    When a window is given out, speech is detected up to its end. Where channels are split, each
    has windows of its own.

    Args:
        channels: of the recording; they take the samples.
        timings: of the request; audio, fetch and decode are counted here.
        recording: takes the samples where speakers are told apart.
    """

    def __init__(
        self,
        setup: TranscriptionSetup,
        channels: ChannelSet,
        timings: Timings,
        recording: DiarizedRecording | None = None,
    ) -> None:
        self._setup = setup
        self._channels = channels
        self._damage = channels.damage
        self._timings = timings
        self._recording = recording
        self._samples = 0
        self._part: AudioPart | None = None  # of the recording, where not all of it is asked for

    async def windows(
        self, source: Source, request: ScheduledRequest, options: Options
    ) -> AsyncGenerator[tuple[AudioChannel, Window]]:
        """Decode and cut `source`, no faster than `request` has room; it counts what is decoded.

        A result holds the samples of its window: `request.take` is to be called for each one.

        Raises:
            CallerError: the audio cannot be used, or there is no room for it.
            ServerError: the server of a URL failed.
        """
        timings, channels, self._part = self._timings, self._channels, options.part
        if isinstance(source, AsyncIterator):
            source = _timed(source, timings)
        decoded = self._setup.decoder.blocks(
            source, self._damage, options.audio_track, options.channels
        )
        async with contextlib.aclosing(part_of(decoded, options.part, self._damage)) as blocks:
            while (block := await self._next(blocks, request)) is not None:
                self._take(block)
                request.hold(channels.held_samples)
                while (channel := channels.complete) is not None:
                    request.lengthen(self._working_set(request))
                    with _added_to_decode(timings):
                        window = await self._setup.threads.run(channel.cut)
                    uncut = channels.held_samples + len(window.samples)
                    for part in channels.parted(channel, window):
                        uncut -= len(part.samples)
                        request.cut(part, uncut)
                        yield channel, part
                    channels.forget()
        if self._recording is not None:
            self._recording.complete()
        with _added_to_decode(timings):
            await asyncio.to_thread(channels.detect_rest)
        timings.decode = max(0.0, timings.decode - timings.fetch)
        rest = [
            (channel, part)
            for channel, window in channels.rest()
            for part in channels.parted(channel, window)
        ]
        uncut = sum(len(window.samples) for _, window in rest)
        for channel, window in rest:
            uncut -= len(window.samples)
            request.cut(window, uncut)
            yield channel, window

    def _working_set(self, request: ScheduledRequest) -> int:
        """Samples that a long recording needs, so that one window follows the other."""
        needed = self._channels.most_held + self._channels.growth(BLOCK_SAMPLES)
        if self._recording is not None:
            needed += self._recording.most_samples(request.is_job)
        return needed

    async def _next(
        self, blocks: AsyncGenerator[Samples], request: ScheduledRequest
    ) -> Samples | None:
        """The next block, when `request` has room for it; None at the end."""
        if self._recording is not None:
            await self._recording.room()
        await request.room(self._channels.growth(BLOCK_SAMPLES))
        with _added_to_decode(self._timings):
            return await anext(blocks, None)

    def _take(self, block: Samples) -> None:
        self._samples += len(block)
        self._timings.audio = self._samples / SAMPLE_RATE
        declared = self._damage.declared
        self._timings.declared = declared if self._part is None else self._part.seconds(declared)
        self._setup.metrics.audio_seconds.inc(block.size / SAMPLE_RATE)
        self._channels.take(block)
        if self._recording is not None:
            self._recording.push(block)


@contextlib.contextmanager
def _added_to_decode(timings: Timings) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        timings.decode += time.monotonic() - started


async def _timed(stream: AsyncIterator[bytes], timings: Timings) -> AsyncIterator[bytes]:
    started = time.monotonic()
    async for data in stream:
        timings.fetch += time.monotonic() - started
        yield data
        started = time.monotonic()
    timings.fetch += time.monotonic() - started
