"""One request from its audio to the parts of its transcript."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

from asr.audio.streams import Source
from asr.concurrency import end_tasks
from asr.engines.engine import Window, WindowResult
from asr.options import Options
from asr.transcript import LanguageDetection, SpeakerTurn, Transcript
from asr.transcription.admission.scheduled_window import ScheduledWindow
from asr.transcription.channels.channel import AudioChannel
from asr.transcription.channels.channel_set import ChannelSet
from asr.transcription.diarizing.means import named
from asr.transcription.diarizing.recording import DiarizedRecording
from asr.transcription.gaps import spliced
from asr.transcription.policy import check
from asr.transcription.scheduled_request import ScheduledRequest, Timings
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup
from asr.transcription.window_stream import WindowStream
from asr.vocabulary import left_out

LEAD_SECONDS = 1.0  # A stream's first words have the processors to themselves for so long at most.


class TranscriptionRun:
    """The transcription of one recording: its options, timings, channels and windows.

    A run is for one use of `parts`, `results` or `detection`.
    """

    def __init__(
        self, setup: TranscriptionSetup, scheduler: Scheduler, options: Options, timings: Timings
    ) -> None:
        self._setup = setup
        self._scheduler = scheduler
        self._options = options
        self._timings = timings
        self._channels: ChannelSet  # made when the options are known
        self._scheduled: asyncio.Queue[tuple[AudioChannel, ScheduledWindow] | None] = (
            asyncio.Queue()
        )
        self._recording: DiarizedRecording | None = None  # where speakers are told apart
        self._turns: tuple[SpeakerTurn, ...] | None = None  # known at the end
        self._unheard: tuple[str, ...] = ()  # a warning for each name
        self._left_out: dict[str, None] = {}  # names of the vocabulary, in order

    async def parts(self, source: Source) -> AsyncGenerator[Transcript]:
        """The transcript in parts, each as soon as no later window can change it."""
        begins_at = 0.0 if self._options.part is None else self._options.part.start
        async with contextlib.aclosing(self._parts(source)) as parts:
            async for part in parts:
                yield part.later(begins_at) if begins_at else part

    async def _parts(self, source: Source) -> AsyncGenerator[Transcript]:
        """Likewise, with times from the start of what is transcribed."""
        timings = self._timings
        shows_words = self._apply_policy()
        channels = self._channels
        has_words = self._options.timestamps == "word"
        async with contextlib.aclosing(self._news(source)) as news:
            async for channel, result in news:
                if result.is_final:
                    self._left_out.update(dict.fromkeys(result.left_out))
                segments = channels.merge(channel.push(result))
                if not segments:
                    continue
                part = Transcript(segments, channels.language, round(timings.audio, 3))
                if has_words and not result.is_final:  # they come again with their words
                    yield replace(part, segments=(), ahead=segments)
                    continue
                channels.record_text(segments)
                yield part if shows_words else _without_words(part)
        self._observe()
        segments = channels.finish()
        channels.record_text(segments)
        part = Transcript(
            segments,
            channels.language,
            round(timings.audio, 3),
            channels.coverage(),
            (*channels.damage.warnings, *self._unheard, *left_out(self._left_out)),
            turns=self._turns,
            channel_languages=channels.languages,
            language_probabilities=channels.language_probabilities,
        )
        yield part if shows_words else _without_words(part)

    async def results(self, source: Source) -> AsyncGenerator[WindowResult]:
        """Each window's result, in the order of the audio, as soon as it is known."""
        self._apply_policy()
        async with contextlib.aclosing(self._news(source)) as news:
            async for _, result in news:
                if result.is_final:
                    yield result

    async def _news(self, source: Source) -> AsyncGenerator[tuple[AudioChannel, WindowResult]]:
        """Each window's result, in a stream with what is known of the segments before it."""
        with self._scheduler.admit(self._options.is_job) as request:
            async with self._diarized(request):
                async with contextlib.aclosing(self._results(source, request)) as results:
                    async for news in results:
                        yield news
                await self._tell_speakers()

    async def _results(
        self, source: Source, request: ScheduledRequest
    ) -> AsyncGenerator[tuple[AudioChannel, WindowResult]]:
        producer = asyncio.create_task(self._submit_all(source, request))
        try:
            while (item := await self._scheduled.get()) is not None:
                channel, scheduled = item
                while not (result := await scheduled.news()).is_final:
                    yield channel, channel.coverage.lasting(result)
                self._timings.record(scheduled)
                if not channel.has_copied(result.window):
                    result = await self._completed(channel, result, request)
                if channel.previous is not None:
                    channel.previous.add(result)
                yield channel, result
                request.take(result)
            await producer
        finally:
            await end_tasks(producer)

    def _apply_policy(self) -> bool:
        """Let the options be those to be carried out; return whether words may be shown.

        Raises:
            BadRequest: they cannot be honoured.
        """
        policy, info = self._setup.policy, self._setup.info
        options = policy.apply(self._options)
        check(options, info, self._setup.diarization is not None)
        shows_words = options.timestamps == "word" or options.speakers is None
        options = policy.timed(options, info)
        if options.channels == "split":  # a channel's first words would wait for the others anyway
            options = replace(options, is_streamed=False)
        self._options = options
        self._channels = ChannelSet(self._setup, self._options)
        return shows_words

    @contextlib.asynccontextmanager
    async def _diarized(self, request: ScheduledRequest) -> AsyncIterator[None]:
        """Let the diarizer have the audio, where somebody asks who speaks."""
        speakers, means = self._options.speakers, self._setup.diarization
        if speakers is None or means is None:
            yield
            return
        async with means.recording(speakers, request, self._timings) as self._recording:
            yield

    async def _tell_speakers(self) -> None:
        """Wait for the rest of the diarizer's work."""
        if self._recording is None or self._options.speakers is None:
            return
        began = time.monotonic()
        diarization = await self._recording.finish()
        self._turns, self._unheard = await named(diarization, self._options.speakers)
        self._timings.diarization = time.monotonic() - began

    async def detection(self, source: Source) -> LanguageDetection:
        """The language of the first window that is not silent; nothing more is read."""
        self._channels = ChannelSet(self._setup, self._options)
        stream = WindowStream(self._setup, self._channels, self._timings)
        with self._scheduler.admit() as request:
            async with contextlib.aclosing(
                stream.windows(source, request, self._options)
            ) as windows:
                async for channel, window in windows:
                    if not channel.coverage.is_silent(window):
                        options = replace(
                            self._options, audio_track=None, part=None, channels="mix"
                        )
                        scheduled = request.submit(replace(window, options=options))
                        return await scheduled.detection
                    request.take(WindowResult(window))
        return LanguageDetection()

    async def _submit_all(self, source: Source, request: ScheduledRequest) -> None:
        """Submit windows while the bytes still arrive; a failure here fails the request."""
        try:
            stream = WindowStream(self._setup, self._channels, self._timings, self._recording)
            async with contextlib.aclosing(
                stream.windows(source, request, self._options)
            ) as windows:
                async for channel, window in windows:
                    await self._submit(channel, window, request)
                    if not self._channels.is_split:
                        await channel.settle_language()
        except Exception as error:
            request.fail(error)
            raise
        finally:
            request.complete()
            self._scheduled.put_nowait(None)

    async def _submit(
        self, channel: AudioChannel, window: Window, request: ScheduledRequest
    ) -> None:
        """Submit a channel's window; one that is silent, or a copy, needs no engine."""
        self._timings.windows += 1
        window = replace(window, options=await channel.next_options())
        if self._channels.compare(channel, window) or channel.coverage.is_silent(window):
            self._setup.metrics.windows_skipped.inc()
            scheduled = request.skip(window)
        else:
            scheduled = request.submit(window)
        channel.submitted(scheduled)
        self._scheduled.put_nowait((channel, scheduled))
        if self._options.is_streamed and scheduled.leads and not self._setup.info.is_on_gpu:
            # decoders and detectors would take its processors from the engine
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAD_SECONDS):
                    await scheduled.has_words.wait()

    async def _completed(
        self, channel: AudioChannel, result: WindowResult, request: ScheduledRequest
    ) -> WindowResult:
        """`result` without text that nobody said, and with what its gaps give, decoded again."""
        coverage = channel.coverage
        result = coverage.without_invented(result)
        again = [request.submit(window) for window in coverage.windows_to_redecode(result)]
        for scheduled in again:
            result = spliced(result, coverage.without_invented(await scheduled.result))
            self._timings.record(scheduled)
        return result

    def _observe(self) -> None:
        diarization = () if self._recording is None else ("diarization",)
        for stage in ("fetch", "decode", "queue", "model", *diarization):
            seconds = getattr(self._timings, stage)
            self._setup.metrics.stage_seconds.labels(stage).observe(seconds)


def _without_words(part: Transcript) -> Transcript:
    """`part` with words that only tell who speaks."""
    segments = tuple(
        replace(segment, words=(), unasked_words=segment.words) for segment in part.segments
    )
    return replace(part, segments=segments)
