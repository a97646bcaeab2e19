"""From the bytes of one request to its windows; speech is detected along the way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

from asr.audio.streams import Source
from asr.engines.engine import Window
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcription.coverage import MAX_DISTANCE, SpeechCoverage
from asr.transcription.cutter import Cutter
from asr.transcription.scheduled_request import ScheduledRequest, Timings
from asr.transcription.setup import TranscriptionSetup
from asr.vad.detector import DetectorFeed


class WindowStream:
    """The windows of one recording, in order, each as soon as its samples have arrived.

    When a window is given out, speech is detected up to its end.

    Args:
        coverage: of the recording; its track takes the samples.
        timings: of the request; audio, fetch and decode are counted here.
    """

    def __init__(
        self, setup: TranscriptionSetup, cutter: Cutter, coverage: SpeechCoverage, timings: Timings
    ) -> None:
        self._setup = setup
        self._cutter = cutter
        self._feed = None if coverage.track is None else DetectorFeed(coverage.track)
        self._damage = coverage.damage
        self._timings = timings
        self._samples = 0

    async def windows(self, source: Source, request: ScheduledRequest) -> AsyncGenerator[Window]:
        """Decode and cut `source`; `request` holds the seconds that are in no window yet.

        Raises:
            CallerError: the audio cannot be used.
            ServerError: the server of a URL failed.
        """
        timings, cutter = self._timings, self._cutter
        if isinstance(source, AsyncIterator):
            source = _timed(source, timings)
        started = time.monotonic()
        async with contextlib.aclosing(self._setup.decoder.blocks(source, self._damage)) as blocks:
            async for block in blocks:
                self._take(block)
                while cutter.has_window:
                    window = await self._setup.threads.run(self._cut)
                    timings.decode += time.monotonic() - started
                    request.hold(cutter.held_samples / SAMPLE_RATE)
                    yield window
                    started = time.monotonic()
                request.hold(cutter.held_samples / SAMPLE_RATE)
        if self._feed is not None:
            await asyncio.to_thread(self._feed.finish)
        timings.decode = max(0.0, timings.decode + time.monotonic() - started - timings.fetch)
        for window in cutter.finish():
            request.hold(cutter.held_samples / SAMPLE_RATE)
            yield window

    def _take(self, block: Samples) -> None:
        self._samples += len(block)
        self._timings.audio = self._samples / SAMPLE_RATE
        self._setup.metrics.audio_seconds.inc(len(block) / SAMPLE_RATE)
        if self._feed is not None:
            self._feed.take(block)
        self._cutter.take(block)

    def _cut(self) -> Window:
        window = self._cutter.cut()
        if self._feed is not None:
            self._feed.advance(window.end + MAX_DISTANCE)
        return window


async def _timed(stream: AsyncIterator[bytes], timings: Timings) -> AsyncIterator[bytes]:
    started = time.monotonic()
    async for data in stream:
        timings.fetch += time.monotonic() - started
        yield data
        started = time.monotonic()
    timings.fetch += time.monotonic() - started
