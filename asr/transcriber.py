"""The recipe: decode, cut, submit, join."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, fields, replace

from asr.audio import SAMPLE_RATE, Decoder, Source
from asr.config import ConfigError, TimestampRule
from asr.errors import BadRequest
from asr.metrics import Metrics
from asr.scheduler import Scheduler
from asr.ticket import Pending, Ticket
from asr.transcript import Detection, EngineInfo, Options, Thresholds, Transcript
from asr.windows import Cutter, Joiner, Window, WindowResult


@dataclass
class Timings:
    """Where a request's time went, in seconds."""

    fetch: float = 0.0  # waiting for bytes of the body or the URL
    decode: float = 0.0  # until the last window was cut, less the waiting for bytes and room
    queue: float = 0.0  # from the first window's submission until the engine took it
    model: float = 0.0  # from then until the last window was heard
    audio: float = 0.0  # seconds of audio decoded
    taken_at: float | None = None  # when the engine took the first window

    def heard(self, pending: Pending) -> None:
        """Take in the times of a window that is finished."""
        if self.taken_at is None:
            self.taken_at = pending.admitted_at
            self.queue = pending.admitted_at - pending.submitted_at
        self.model = max(self.model, pending.finished_at - self.taken_at)


@dataclass(frozen=True)
class Rules:
    """What the server's settings demand of every request."""

    language: str | None = None  # LANGUAGE_FORCE: code heard whatever is asked
    timestamps: TimestampRule = "auto"
    thresholds: Thresholds = Thresholds()  # where a request names none

    def apply(self, options: Options) -> Options:
        """`options` as they are to be carried out.

        Raises:
            BadRequest: words are to be timed where nothing is.
        """
        if self.language is not None:
            options = replace(options, language=self.language)
        options = replace(options, thresholds=_filled(options.thresholds, self.thresholds))
        if self.timestamps == "segments" and options.timestamps == "none":
            return replace(options, timestamps="segment")
        if self.timestamps != "none":
            return options
        if options.timestamps == "word":
            raise BadRequest("no word is timed here: the server runs with TIMESTAMPS=none")
        return replace(options, timestamps="none")


def _filled(asked: Thresholds, default: Thresholds) -> Thresholds:
    named = {rule.name: getattr(asked, rule.name) for rule in fields(Thresholds)}
    return replace(default, **{name: value for name, value in named.items() if value is not None})


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
        rules: Rules | None = None,
    ) -> None:
        self._rules = rules or Rules()
        self._decoder = decoder
        self._scheduler = scheduler
        self._info = info
        self._window_seconds = min(window_seconds, info.longest_window)
        self._stride_seconds = stride_seconds
        self._metrics = metrics

    async def transcribe(self, source: Source, options: Options) -> tuple[Transcript, Timings]:
        """Hear all of `source`.

        Raises:
            CallerError: the audio or the options cannot be used.
            ServerError: the engine or the far server failed.
        """
        timings = Timings()
        parts = [part async for part in self.parts(source, options, timings)]
        segments = tuple(segment for part in parts for segment in part.segments)
        return replace(parts[-1], segments=segments), timings

    async def detect(self, source: Source, options: Options) -> Detection:
        """The language of the first window in which anything sounds, among `options.languages`.

        Nothing is written down, and nothing more of `source` is read.

        Raises:
            CallerError: the audio cannot be used, or the model knows no languages.
            ServerError: the engine or the far server failed.
        """
        if not self._info.languages:
            raise BadRequest(f"the model {self._info.model_id} does not tell languages apart")
        options = Options(languages=options.languages, timestamps="none")
        check(options, self._info)
        with self._scheduler.admit() as ticket:
            async with contextlib.aclosing(self._windows(source, Timings())) as windows:
                async for window in windows:
                    if not window.is_silent:
                        pending = ticket.submit(replace(window, options=options))
                        return await pending.detection
        return Detection()

    async def parts(
        self, source: Source, options: Options, timings: Timings
    ) -> AsyncGenerator[Transcript]:
        """The transcript in parts, each as soon as nothing later can change it; at least one.

        Each part has the language known so far; the last one's duration is the whole audio's.
        """
        joiner = Joiner(2 * (self._stride_seconds or 0.0))
        language = self._rules.language or options.language
        async with contextlib.aclosing(self.results(source, options, timings)) as results:
            async for result in results:
                language = language or result.language
                segments = tuple(joiner.push(result))
                if segments:
                    yield Transcript(segments, language, round(timings.audio, 3))
        self._observe(timings)
        yield Transcript(tuple(joiner.finish()), language, round(timings.audio, 3))

    async def results(
        self, source: Source, options: Options, timings: Timings
    ) -> AsyncGenerator[WindowResult]:
        """Each window's result, in the order of the audio, as soon as it is known."""
        options = self._rules.apply(options)
        check(options, self._info)
        queue: asyncio.Queue[Pending | None] = asyncio.Queue()
        unread = asyncio.Semaphore(2 * self._scheduler.windows_per_request)
        with self._scheduler.admit() as ticket:
            producer = asyncio.create_task(
                self._produce(source, options, ticket, queue, unread, timings)
            )
            try:
                while (pending := await queue.get()) is not None:
                    result = await pending.result
                    timings.heard(pending)
                    yield result
                    unread.release()
                await producer
            finally:
                producer.cancel()
                await asyncio.gather(producer, return_exceptions=True)

    async def _produce(
        self,
        source: Source,
        options: Options,
        ticket: Ticket,
        queue: asyncio.Queue[Pending | None],
        unread: asyncio.Semaphore,
        timings: Timings,
    ) -> None:
        """Submit windows while the bytes still arrive; a failure here fails the request.

        Not faster than the engine hears, nor than the caller reads: results hold their PCM.
        """
        try:
            pinned = options
            async with contextlib.aclosing(self._windows(source, timings)) as windows:
                async for window in windows:
                    await unread.acquire()
                    await ticket.room()
                    pending = self._submit(replace(window, options=pinned), ticket)
                    queue.put_nowait(pending)
                    if pinned.language is None and len(self._info.languages) > 1:
                        pinned = replace(pinned, language=(await pending.detection).language)
        except Exception as error:
            ticket.fail(error)
            raise
        finally:
            ticket.complete()
            queue.put_nowait(None)

    def _submit(self, window: Window, ticket: Ticket) -> Pending:
        return ticket.skip(window) if window.is_silent else ticket.submit(window)

    async def _windows(self, source: Source, timings: Timings) -> AsyncGenerator[Window]:
        cutter = Cutter(self._window_seconds, self._stride_seconds)
        if isinstance(source, AsyncIterator):
            source = _timed(source, timings)
        samples = 0
        started = time.monotonic()
        async with contextlib.aclosing(self._decoder.blocks(source)) as blocks:
            async for block in blocks:
                samples += len(block)
                timings.audio = samples / SAMPLE_RATE
                self._metrics.audio_seconds.inc(len(block) / SAMPLE_RATE)
                timings.decode += time.monotonic() - started
                for window in cutter.push(block):
                    yield window
                started = time.monotonic()
        timings.decode = max(0.0, timings.decode - timings.fetch)
        for window in cutter.finish():
            yield window

    def _observe(self, timings: Timings) -> None:
        for stage in ("fetch", "decode", "queue", "model"):
            self._metrics.stage_seconds.labels(stage).observe(getattr(timings, stage))


def language_code(text: str | None, info: EngineInfo) -> str | None:
    """The code for a language given as code, name or tag ("en", "English", "en-US").

    None, "", "auto", "None" and "null" ask for detection; unknown words are returned as they
    are, for `check` to name.
    """
    asked = (text or "").strip().lower()
    if asked in {"", "auto", "none", "null"}:
        return None
    codes = {name: code for code, name in info.languages.items()}
    tag = asked.replace("_", "-").partition("-")[0]
    for known in (asked, codes.get(asked), tag):
        if known in info.languages:
            return known
    return asked


def forced_language(text: str | None, info: EngineInfo) -> str | None:
    """The code that LANGUAGE_FORCE means.

    Raises:
        ConfigError: the model does not know it.
    """
    code = language_code(text, info)
    if code is not None and code not in info.languages:
        known = ", ".join(sorted(info.languages)) or "no choice of language"
        raise ConfigError(f"LANGUAGE_FORCE={text!r}: the model {info.model_id} knows {known}")
    return code


def check(options: Options, info: EngineInfo) -> None:
    """Refuse what the loaded model cannot honour.

    Raises:
        BadRequest: names the option, the model and the remedy.
    """
    model = f"the model {info.model_id}"
    if options.language is not None and not info.languages:
        raise BadRequest(f"{model} has no choice of language: leave 'language' out", "language")
    for name, codes in (("language", (options.language,)), ("languages", options.languages)):
        for code in codes:
            if code is not None and code not in info.languages:
                raise BadRequest(
                    f"{model} does not know the language {code!r}; "
                    f"it knows {', '.join(sorted(info.languages)) or 'none'}",
                    name,
                )
    if options.task == "translate" and not info.can_translate:
        raise BadRequest(f"{model} cannot translate: use task 'transcribe'", "task")
    if options.prompt and not info.can_prompt:
        raise BadRequest(f"{model} takes no prompt: leave 'prompt' out", "prompt")
    if options.timestamps == "word" and not info.has_words:
        raise BadRequest(
            f"{model} has no word timestamps on this engine: use timestamps 'segment' or 'none'",
            "timestamps",
        )


async def _timed(stream: AsyncIterator[bytes], timings: Timings) -> AsyncIterator[bytes]:
    started = time.monotonic()
    async for data in stream:
        timings.fetch += time.monotonic() - started
        yield data
        started = time.monotonic()
    timings.fetch += time.monotonic() - started
