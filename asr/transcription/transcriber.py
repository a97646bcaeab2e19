"""The recipe: decode, cut, submit, join."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

from asr import cpu
from asr.audio.decoder import Decoder
from asr.audio.streams import Source
from asr.capabilities import EngineInfo, ServerInfo
from asr.concurrency import ThreadPool
from asr.engines.engine import Window, WindowResult
from asr.errors import BadRequest
from asr.metrics import Metrics
from asr.options import Options, VadOptions
from asr.pcm import SAMPLE_RATE
from asr.transcript import LanguageDetection, Transcript
from asr.transcription.coverage import ASTRAY, BEFORE_GAP, SpeechCoverage, spliced
from asr.transcription.cutter import PAUSE, Cutter, Joiner
from asr.transcription.policy import RequestPolicy, check
from asr.transcription.scheduled_request import ScheduledRequest, ScheduledWindow, Timings
from asr.transcription.scheduler import Scheduler
from asr.vad.detector import Detector, DetectorFeed

LEAD_SECONDS = 1.0  # at most, that a stream's first window has the processors to itself
THREADS = max(1, cpu.usable() // 2)  # that cut and listen, the end aside: others need cores, too


class Transcriber:
    """Turns audio into transcripts; knows neither HTTP nor the model."""

    def __init__(
        self,
        decoder: Decoder,
        scheduler: Scheduler,
        info: EngineInfo,
        window_seconds: float,
        stride_seconds: float | None,
        metrics: Metrics,
        rules: RequestPolicy | None = None,
        detector: Detector | None = None,
    ) -> None:
        self._rules = rules or RequestPolicy()
        self._detector = detector
        self._decoder = decoder
        self._scheduler = scheduler
        self._info = info
        self._window_seconds = min(window_seconds, info.longest_window)
        self._stride_seconds = stride_seconds
        self._metrics = metrics
        self._threads = ThreadPool(THREADS, "hear")

    def close(self) -> None:
        self._threads.close()

    @property
    def hearing_info(self) -> ServerInfo:
        detector = self._detector
        return ServerInfo(
            finds_speech=detector is not None,
            has_threshold=detector is not None and detector.has_threshold,
            cuts_at_pauses=self._stride_seconds is None,
            forced_language=self._rules.language,
        )

    async def transcribe(self, source: Source, options: Options) -> tuple[Transcript, Timings]:
        """Hear all of `source`.

        Raises:
            CallerError: the audio or the options cannot be used.
            ServerError: the engine or the far server failed.
        """
        timings = Timings()
        parts = [part async for part in self._parts(source, options, timings)]
        segments = tuple(segment for part in parts for segment in part.segments)
        return replace(parts[-1], segments=segments), timings

    async def detect(self, source: Source, options: Options) -> LanguageDetection:
        """The language of the first window in which anybody may speak, among `options.languages`.

        Nothing is written down, and nothing more of `source` is read.

        Raises:
            CallerError: the audio cannot be used, or the model knows no languages.
            ServerError: the engine or the far server failed.
        """
        if not self._info.languages:
            raise BadRequest(f"the model {self._info.model_id} does not tell languages apart")
        options = Options(languages=options.languages, timestamps="none")
        check(options, self._info)
        account = self._account(options.vad)
        with self._scheduler.admit() as ticket:
            cutter = self._cutter(options.vad, is_early=False)
            windows = self._windows(source, Timings(), account, ticket, cutter)
            async with contextlib.aclosing(windows):
                async for window in windows:
                    if not account.is_silent(window):
                        pending = ticket.submit(replace(window, options=options))
                        return await pending.detection
        return LanguageDetection()

    def parts(
        self, source: Source, options: Options, timings: Timings
    ) -> AsyncGenerator[Transcript]:
        """The transcript in parts, each as soon as nothing later can change it; at least one.

        Each part has the language known so far; the last one's duration is the whole audio's.
        """
        return self._parts(source, replace(options, is_streamed=True), timings)

    async def _parts(
        self, source: Source, options: Options, timings: Timings
    ) -> AsyncGenerator[Transcript]:
        joiner = Joiner(self._overlap)
        account = self._account(options.vad)
        language: str | None = None
        async with contextlib.aclosing(self.results(source, options, timings, account)) as results:
            async for result in results:
                language = self._rules.language or options.language or result.language or language
                account.heard(result)
                segments = tuple(joiner.push(result))
                account.written(segments)
                if segments:
                    yield Transcript(segments, language, round(timings.audio, 3))
        self._observe(timings)
        segments = tuple(joiner.finish())
        account.written(segments)
        yield Transcript(segments, language, round(timings.audio, 3), account.coverage())

    async def results(
        self,
        source: Source,
        options: Options,
        timings: Timings,
        account: SpeechCoverage | None = None,
    ) -> AsyncGenerator[WindowResult]:
        """Each window's result, in the order of the audio, as soon as it is known."""
        account = account or self._account(options.vad)
        options = self._rules.apply(options)
        check(options, self._info)
        queue: asyncio.Queue[ScheduledWindow | None] = asyncio.Queue()
        unread = asyncio.Semaphore(2 * self._scheduler.windows_per_request)
        with self._scheduler.admit() as ticket:
            producer = asyncio.create_task(
                self._produce(source, options, ticket, queue, unread, timings, account)
            )
            try:
                while (pending := await queue.get()) is not None:
                    result = await pending.result
                    timings.heard(pending)
                    yield await self._whole(result, ticket, account, timings)
                    unread.release()
                await producer
            finally:
                producer.cancel()
                await asyncio.gather(producer, return_exceptions=True)

    async def _produce(
        self,
        source: Source,
        options: Options,
        ticket: ScheduledRequest,
        queue: asyncio.Queue[ScheduledWindow | None],
        unread: asyncio.Semaphore,
        timings: Timings,
        account: SpeechCoverage,
    ) -> None:
        """Submit windows while the bytes still arrive; a failure here fails the request.

        Not faster than the engine hears, nor than the caller reads: results hold their PCM.
        """
        try:
            pinned = replace(options, vad=VadOptions())
            cutter = self._cutter(options.vad)
            windows = self._windows(source, timings, account, ticket, cutter)
            async with contextlib.aclosing(windows):
                async for window in windows:
                    await unread.acquire()
                    await ticket.room()
                    pending = self._submit(replace(window, options=pinned), ticket, account)
                    queue.put_nowait(pending)
                    if options.is_streamed and pending.leads and not self._info.is_on_gpu:
                        # decoders and detectors would take its processors from the engine
                        await asyncio.wait([pending.result], timeout=LEAD_SECONDS)
                    if pinned.language is None and len(self._info.languages) > 1:
                        heard = await pending.detection
                        if window.start or heard.is_sure:
                            pinned = replace(pinned, language=heard.language)
        except Exception as error:
            ticket.fail(error)
            raise
        finally:
            ticket.complete()
            queue.put_nowait(None)

    async def _whole(
        self,
        result: WindowResult,
        ticket: ScheduledRequest,
        account: SpeechCoverage,
        timings: Timings,
    ) -> WindowResult:
        """`result` without what nobody said, and with what a second hearing of its gaps gives."""
        result = account.trusted(result)
        again = [ticket.submit(window) for window in account.again(result)]
        for pending in again:
            result = spliced(result, account.trusted(await pending.result))
            timings.heard(pending)
        return result

    def _submit(
        self, window: Window, ticket: ScheduledRequest, account: SpeechCoverage
    ) -> ScheduledWindow:
        if not account.is_silent(window):
            return ticket.submit(window)
        self._metrics.windows_skipped.inc()
        return ticket.skip(window)

    async def _windows(
        self,
        source: Source,
        timings: Timings,
        account: SpeechCoverage,
        ticket: ScheduledRequest,
        cutter: Cutter,
    ) -> AsyncGenerator[Window]:
        if isinstance(source, AsyncIterator):
            source = _timed(source, timings)
        listener = DetectorFeed(account.hearing) if account.hearing is not None else None
        samples = 0
        started = time.monotonic()
        async with contextlib.aclosing(self._decoder.blocks(source)) as blocks:
            async for block in blocks:
                samples += len(block)
                timings.audio = samples / SAMPLE_RATE
                self._metrics.audio_seconds.inc(len(block) / SAMPLE_RATE)
                if listener is not None:
                    listener.take(block)
                cutter.take(block)
                while cutter.has_window:
                    window = await self._threads.run(_cut, cutter, listener)
                    timings.decode += time.monotonic() - started
                    ticket.hold(cutter.held_samples / SAMPLE_RATE)
                    yield window
                    started = time.monotonic()
                ticket.hold(cutter.held_samples / SAMPLE_RATE)
        if listener is not None:
            await asyncio.to_thread(listener.finish)
        timings.decode = max(0.0, timings.decode + time.monotonic() - started - timings.fetch)
        for window in cutter.finish():
            ticket.hold(cutter.held_samples / SAMPLE_RATE)
            yield window

    def _account(self, asked: VadOptions) -> SpeechCoverage:
        """Begin the account of a recording."""
        hearing = None if self._detector is None else self._detector.begin(asked.threshold)
        padding = BEFORE_GAP if asked.padding is None else asked.padding
        return SpeechCoverage(hearing, self._overlap, self._metrics, padding)

    def _cutter(self, asked: VadOptions, is_early: bool = True) -> Cutter:
        pause = PAUSE if asked.pause is None else asked.pause
        return Cutter(self._window_seconds, self._stride_seconds, pause, is_early)

    @property
    def _overlap(self) -> float:
        """Seconds that neighbouring windows share."""
        return 2 * (self._stride_seconds or 0.0)

    def _observe(self, timings: Timings) -> None:
        for stage in ("fetch", "decode", "queue", "model"):
            self._metrics.stage_seconds.labels(stage).observe(getattr(timings, stage))


def _cut(cutter: Cutter, listener: DetectorFeed | None) -> Window:
    window = cutter.cut()
    if listener is not None:
        listener.advance(window.end + ASTRAY)
    return window


async def _timed(stream: AsyncIterator[bytes], timings: Timings) -> AsyncIterator[bytes]:
    started = time.monotonic()
    async for data in stream:
        timings.fetch += time.monotonic() - started
        yield data
        started = time.monotonic()
    timings.fetch += time.monotonic() - started
