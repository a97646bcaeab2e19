"""One request from its audio to the parts of its transcript."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

from asr.audio.streams import Source
from asr.engines.engine import Window, WindowResult
from asr.options import Options, VadOptions
from asr.transcript import LanguageDetection, SpeakerTurn, Transcript
from asr.transcription.admission.scheduled_window import ScheduledWindow
from asr.transcription.diarizing.means import named
from asr.transcription.diarizing.recording import DiarizedRecording
from asr.transcription.gaps import spliced
from asr.transcription.joiner import Joiner
from asr.transcription.policy import check
from asr.transcription.scheduled_request import ScheduledRequest, Timings
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup
from asr.transcription.window_stream import WindowStream
from asr.vad.word_trim import TimeTrimmer

MOST_LETTERS = 2000  # A prompt has at most so many: twice as much as half a text context holds.
HIGHEST_TEMPERATURE = 0.5  # Text of a higher temperature, and all before it, is no prompt.
LEAD_SECONDS = 1.0  # A stream's first words have the processors to themselves for so long at most.


class TranscriptionRun:
    """The transcription of one recording: its options, timings, coverage and windows.

    A run is for one use of `parts`, `results` or `detection`.
    """

    def __init__(
        self, setup: TranscriptionSetup, scheduler: Scheduler, options: Options, timings: Timings
    ) -> None:
        self._setup = setup
        self._scheduler = scheduler
        self._options = options
        self._timings = timings
        self._coverage = setup.coverage(options.vad)
        self._scheduled: asyncio.Queue[ScheduledWindow | None] = asyncio.Queue()
        self._previous: PreviousText | None = None  # where it is the windows' prompt
        self._recording: DiarizedRecording | None = None  # where speakers are told apart
        self._turns: tuple[SpeakerTurn, ...] | None = None  # known at the end
        self._unheard: tuple[str, ...] = ()  # a warning for each name

    async def parts(self, source: Source) -> AsyncGenerator[Transcript]:
        """The transcript in parts, each as soon as no later window can change it."""
        begins_at = 0.0 if self._options.part is None else self._options.part.start
        async with contextlib.aclosing(self._parts(source)) as parts:
            async for part in parts:
                yield part.later(begins_at) if begins_at else part

    async def _parts(self, source: Source) -> AsyncGenerator[Transcript]:
        """Likewise, with times from the start of what is transcribed."""
        timings, coverage = self._timings, self._coverage
        shows_words = self._apply_policy()
        has_words = self._options.timestamps == "word"
        joiner = Joiner(self._setup.overlap, awaits_words=has_words)
        trimmer = TimeTrimmer(coverage.track)
        chosen = self._setup.policy.language or self._options.language
        detected: str | None = None
        async with contextlib.aclosing(self._news(source)) as news:
            async for result in news:
                detected = result.language or detected
                if result.is_final:
                    coverage.record_result(result)
                    segments = trimmer.trim(joiner.push(result))
                elif has_words:  # they come again with their words, and are trimmed then
                    segments = tuple(joiner.push_early(result))
                else:
                    segments = trimmer.trim(joiner.push_early(result))
                if not segments:
                    continue
                part = Transcript(segments, chosen or detected, round(timings.audio, 3))
                if has_words and not result.is_final:
                    yield replace(part, segments=(), ahead=segments)
                    continue
                coverage.record_text(segments)
                yield part if shows_words else _without_words(part)
        self._observe()
        segments = trimmer.trim(joiner.finish())
        coverage.record_text(segments)
        language, duration = chosen or detected, round(timings.audio, 3)
        warnings = (*coverage.damage.warnings, *self._unheard)
        part = Transcript(
            segments, language, duration, coverage.coverage(), warnings, turns=self._turns
        )
        yield part if shows_words else _without_words(part)

    async def results(self, source: Source) -> AsyncGenerator[WindowResult]:
        """Each window's result, in the order of the audio, as soon as it is known."""
        self._apply_policy()
        async with contextlib.aclosing(self._news(source)) as news:
            async for result in news:
                if result.is_final:
                    yield result

    async def _news(self, source: Source) -> AsyncGenerator[WindowResult]:
        """Each window's result, in a stream with what is known of the segments before it."""
        with self._scheduler.admit(self._options.is_job) as request:
            async with self._diarized(request):
                async with contextlib.aclosing(self._results(source, request)) as results:
                    async for result in results:
                        yield result
                await self._tell_speakers()

    async def _results(
        self, source: Source, request: ScheduledRequest
    ) -> AsyncGenerator[WindowResult]:
        if self._options.condition_on_previous_text:
            self._previous = PreviousText(self._options.prompt)
        producer = asyncio.create_task(self._submit_all(source, request))
        try:
            while (scheduled := await self._scheduled.get()) is not None:
                while not (result := await scheduled.news()).is_final:
                    yield self._coverage.lasting(result)
                self._timings.record(scheduled)
                result = await self._completed(result, request)
                if self._previous is not None:
                    self._previous.add(result)
                yield result
                request.take(result)
            await producer
        finally:
            producer.cancel()
            await asyncio.gather(producer, return_exceptions=True)

    def _apply_policy(self) -> bool:
        """Let the options be those to be carried out; return whether words may be shown.

        Raises:
            BadRequest: they cannot be honoured.
        """
        policy, info = self._setup.policy, self._setup.info
        options = policy.apply(self._options)
        check(options, info, self._setup.diarization is not None)
        self._options = policy.timed(options, info)
        return options.timestamps == "word" or options.speakers is None

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
        cutter = self._setup.cutter(self._options.vad)
        stream = WindowStream(self._setup, cutter, self._coverage, self._timings)
        with self._scheduler.admit() as request:
            async with contextlib.aclosing(
                stream.windows(source, request, self._options)
            ) as windows:
                async for window in windows:
                    if not self._coverage.is_silent(window):
                        options = replace(self._options, audio_track=None, part=None)
                        scheduled = request.submit(replace(window, options=options))
                        return await scheduled.detection
                    request.take(WindowResult(window))
        return LanguageDetection()

    async def _submit_all(self, source: Source, request: ScheduledRequest) -> None:
        """Submit windows while the bytes still arrive; a failure here fails the request."""
        try:
            options = _for_engine(self._options)
            cutter = self._setup.cutter(self._options.vad)
            stream = WindowStream(
                self._setup, cutter, self._coverage, self._timings, self._recording
            )
            async with contextlib.aclosing(
                stream.windows(source, request, self._options)
            ) as windows:
                async for window in windows:
                    if self._previous is not None:
                        options = replace(options, prompt=await self._previous.next_prompt())
                    scheduled = await self._submit(replace(window, options=options), request)
                    options = await self._with_language(options, scheduled)
        except Exception as error:
            request.fail(error)
            raise
        finally:
            request.complete()
            self._scheduled.put_nowait(None)

    async def _submit(self, window: Window, request: ScheduledRequest) -> ScheduledWindow:
        """Submit `window`; a silent one needs no engine."""
        self._timings.windows += 1
        if self._coverage.is_silent(window):
            self._setup.metrics.windows_skipped.inc()
            scheduled = request.skip(window)
        else:
            scheduled = request.submit(window)
        self._scheduled.put_nowait(scheduled)
        if self._options.is_streamed and scheduled.leads and not self._setup.info.is_on_gpu:
            # decoders and detectors would take its processors from the engine
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAD_SECONDS):
                    await scheduled.has_words.wait()
        return scheduled

    async def _with_language(self, options: Options, scheduled: ScheduledWindow) -> Options:
        """The options of later windows: a language that was detected once holds for all."""
        if options.language is not None or len(self._setup.info.languages) <= 1:
            return options
        detection = await scheduled.detection
        if scheduled.window.start or detection.is_sure:
            return replace(options, language=detection.language)
        return options

    async def _completed(self, result: WindowResult, request: ScheduledRequest) -> WindowResult:
        """`result` without text that nobody said, and with what its gaps give, decoded again."""
        coverage = self._coverage
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


def _for_engine(options: Options) -> Options:
    """The options that an engine reads; windows that differ in others alone may share a batch."""
    return replace(
        options,
        vad=VadOptions(),
        audio_track=None,
        part=None,
        condition_on_previous_text=None,
        speakers=None,
    )


def _without_words(part: Transcript) -> Transcript:
    """`part` with words that only tell who speaks."""
    segments = tuple(
        replace(segment, words=(), unasked_words=segment.words) for segment in part.segments
    )
    return replace(part, segments=segments)


class PreviousText:
    """The text of one recording so far, as the prompt of the window that follows it.

    As in openai/whisper the request's own prompt stands before the text, and all of it is
    forgotten when a window needed a high temperature, lest an error or a loop goes on.
    """

    def __init__(self, prompt: str | None) -> None:
        self._text = prompt or ""
        self._is_complete = asyncio.Event()  # It has the text of all windows with a prompt.
        self._is_complete.set()

    async def next_prompt(self) -> str | None:
        """Wait until the text of all windows so far is known; return the next one's prompt."""
        await self._is_complete.wait()
        self._is_complete.clear()
        return self._text.strip() or None

    def add(self, result: WindowResult) -> None:
        """Add the text of the window that was given the last prompt."""
        temperatures = [segment.temperature or 0.0 for segment in result.segments]
        is_hot = max(temperatures, default=0.0) > HIGHEST_TEMPERATURE
        if is_hot or result.rejected not in {None, "no speech"}:
            self._text = ""
        else:
            text = "".join(segment.text for segment in result.segments)
            text = text.replace("<|", "< |")  # a prompt may hold no special tokens
            self._text = (self._text + text)[-MOST_LETTERS:]
        self._is_complete.set()
