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
from asr.transcription.coverage import MAX_DISTANCE, SpeechCoverage
from asr.transcription.cutter import Cutter
from asr.transcription.diarizing.recording import BLOCK_SAMPLES, DiarizedRecording
from asr.transcription.scheduled_request import ScheduledRequest, Timings
from asr.transcription.setup import TranscriptionSetup
from asr.vad.detector import DetectorFeed


class WindowStream:
    """The windows of one recording, in order, each as soon as its samples have arrived.

    When a window is given out, speech is detected up to its end.

    Args:
        coverage: of the recording; its track takes the samples.
        timings: of the request; audio, fetch and decode are counted here.
        recording: takes the samples where speakers are told apart.
    """

    def __init__(
        self,
        setup: TranscriptionSetup,
        cutter: Cutter,
        coverage: SpeechCoverage,
        timings: Timings,
        recording: DiarizedRecording | None = None,
    ) -> None:
        self._setup = setup
        self._cutter = cutter
        self._feed = None if coverage.track is None else DetectorFeed(coverage.track)
        self._damage = coverage.damage
        self._timings = timings
        self._recording = recording
        self._samples = 0
        self._part: AudioPart | None = None  # of the recording, where not all of it is asked for

    async def windows(
        self, source: Source, request: ScheduledRequest, options: Options
    ) -> AsyncGenerator[Window]:
        """Decode and cut `source`, no faster than `request` has room; it counts what is decoded.

        A result holds the samples of its window: `request.take` is to be called for each one.

        Raises:
            CallerError: the audio cannot be used, or there is no room for it.
            ServerError: the server of a URL failed.
        """
        timings, cutter, self._part = self._timings, self._cutter, options.part
        if isinstance(source, AsyncIterator):
            source = _timed(source, timings)
        decoded = self._setup.decoder.blocks(source, self._damage, options.audio_track)
        async with contextlib.aclosing(part_of(decoded, options.part, self._damage)) as blocks:
            while (block := await self._next(blocks, request)) is not None:
                self._take(block)
                request.hold(cutter.held_samples)
                while cutter.has_window:
                    request.lengthen(self._working_set(request))
                    with _added_to_decode(timings):
                        window = await self._setup.threads.run(self._cut)
                    request.cut(window, cutter.held_samples)
                    yield window
        if self._recording is not None:
            self._recording.complete()
        if self._feed is not None:
            with _added_to_decode(timings):
                await asyncio.to_thread(self._feed.finish)
        timings.decode = max(0.0, timings.decode - timings.fetch)
        for window in cutter.finish():
            request.cut(window, cutter.held_samples)
            yield window

    def _working_set(self, request: ScheduledRequest) -> int:
        """Samples that a long recording needs, so that one window follows the other."""
        needed = self._cutter.most_held + self._cutter.growth(BLOCK_SAMPLES)
        if self._recording is not None:
            needed += self._recording.most_samples(request.is_job)
        return needed

    async def _next(
        self, blocks: AsyncGenerator[Samples], request: ScheduledRequest
    ) -> Samples | None:
        """The next block, when `request` has room for it; None at the end."""
        if self._recording is not None:
            await self._recording.room()
        await request.room(self._cutter.growth(BLOCK_SAMPLES))
        with _added_to_decode(self._timings):
            return await anext(blocks, None)

    def _take(self, block: Samples) -> None:
        self._samples += len(block)
        self._timings.audio = self._samples / SAMPLE_RATE
        declared = self._damage.declared
        self._timings.declared = declared if self._part is None else self._part.seconds(declared)
        self._setup.metrics.audio_seconds.inc(len(block) / SAMPLE_RATE)
        if self._feed is not None:
            self._feed.take(block)
        self._cutter.take(block)
        if self._recording is not None:
            self._recording.push(block)

    def _cut(self) -> Window:
        window = self._cutter.cut()
        if self._feed is not None:
            self._feed.advance(window.end + MAX_DISTANCE)
        return window


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
