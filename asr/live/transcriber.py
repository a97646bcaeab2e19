"""Asks the engine for the text of each utterance: for its first words while it goes on."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from asr.engines.engine import Window, WindowResult
from asr.errors import AsrError, EngineDead
from asr.live.agreement import Agreement
from asr.live.events import Completed, Delta, Failed, Hypothesis
from asr.live.languages import SessionLanguages
from asr.live.outbox import Outbox
from asr.live.utterance import Take, Utterance
from asr.options import Options, Thresholds, Timestamps
from asr.pcm import SAMPLE_RATE
from asr.text import compression_ratio
from asr.transcript import LanguageDetection, Segment, Word, between
from asr.transcription.admission.scheduled_window import ScheduledWindow
from asr.transcription.coverage import SpeechCoverage
from asr.transcription.gaps import SHORTEST_LAST, spliced
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup
from asr.vad.detector import SpeechTrack
from asr.vad.word_trim import TimeTrimmer

log = logging.getLogger(__name__)

LEAST_SPEECH = 0.2  # A window with fewer seconds of speech is not sent to the engine.
STEP = round(0.3 * SAMPLE_RATE)  # A window is decoded again when it has so many samples more.
LONGEST_UNSURE = 3.0  # The likeliest language is taken for true when a window has so many seconds.


class LiveTranscriber:
    """Transcribes the windows of one session, one after the other.

    Args:
        track: the detector's result for the session.
        takes: the windows, in order; those that are done are taken out.
    """

    def __init__(
        self,
        setup: TranscriptionSetup,
        scheduler: Scheduler,
        track: SpeechTrack,
        takes: deque[Take],
        outbox: Outbox,
    ) -> None:
        self._setup = setup
        self._scheduler = scheduler
        self._track = track
        self._takes = takes
        self._outbox = outbox
        self._languages = SessionLanguages()

    async def next(self) -> None:
        """Transcribe the first window until its text is complete, and take it out.

        Raises:
            EngineDead: nothing can be transcribed any more; the client is told.
        """
        take = self._takes[0]
        utterance = take.utterance
        try:
            if not utterance.has_failed:
                await self._transcribe(take)
        except AsrError as error:
            utterance.has_failed = True
            self._outbox.put(Failed(utterance.id, error))
            if isinstance(error, EngineDead):
                raise
        self._takes.popleft()
        if utterance.is_dropped or utterance.has_failed:
            return
        self._tell(utterance)
        if take.is_last:
            if utterance.words:
                self._languages.add(utterance.language, utterance.seconds)
            self._outbox.put(self._completed(utterance))

    async def _transcribe(self, take: Take) -> None:
        agreement = Agreement(take.utterance.options.hold_back)
        if self._setup.info.can_prefix and take.utterance.options.turns is not None:
            length = STEP
            while await take.reaches(length):
                length = await self._partial(take, agreement) + STEP
        await take.reaches(sys.maxsize)
        if not take.utterance.is_dropped:
            await self._final(take, agreement)

    # --- while it goes on ---

    async def _partial(self, take: Take, agreement: Agreement) -> int:
        """Decode the window as far as it has come; return how many samples were decoded."""
        window = self._partial_window(take, agreement)
        if self._speech(window.start, window.end) < LEAST_SPEECH:
            return take.length
        with self._scheduler.admit(is_live=True) as request:
            pending = request.submit(window)
            pending.result.add_done_callback(lambda _: take.changed.set())
            while not (pending.result.done() or take.is_complete):
                take.changed.clear()
                await take.changed.wait()
                if take.length >= len(pending.window.samples) + STEP:
                    request.replace(pending, self._partial_window(take, agreement))
        if not take.is_complete:
            self._compare(_partial_result(pending), take, agreement)
        return len(pending.window.samples)

    def _partial_window(self, take: Take, agreement: Agreement) -> Window:
        options = replace(
            self._options(take.utterance), prefix=agreement.text, thresholds=Thresholds()
        )
        return Window(take.samples, take.start / SAMPLE_RATE, options)

    def _compare(self, result: WindowResult, take: Take, agreement: Agreement) -> None:
        """Give out the words that this result and the one before agree on."""
        utterance = take.utterance
        if not self._is_trusted(result, agreement):
            agreement.contradict()
            return
        if utterance.language is None and not self._has_language(utterance, result):
            agreement.contradict()
            return
        words = [word for segment in result.segments for word in segment.timed_words]
        agreed = agreement.update(words, result.window.seconds)
        if agreed:
            self._settle_language(utterance, result.detection)
            self._add(utterance, agreed, result.segments, result.window.start)
            take.given_until = take.start + round(agreement.end * SAMPLE_RATE)
            self._tell(utterance)
        rest = "".join(word.text for word in agreement.rest)
        self._outbox.put(Hypothesis(utterance.id, rest))

    def _is_trusted(self, result: WindowResult, agreement: Agreement) -> bool:
        """Whether a text that nobody has decoded again may be given out."""
        limits = self._setup.policy.thresholds
        text = agreement.text + "".join(segment.text for segment in result.segments)
        ratio, likely = limits.compression_ratio, limits.avg_logprob
        if ratio is not None and compression_ratio(text.strip()) > ratio:
            return False
        logprobs = [s.avg_logprob for s in result.segments if s.avg_logprob is not None]
        if likely is not None and any(value < likely for value in logprobs):
            return False
        return self._coverage().without_invented(result).segments == result.segments

    def _has_language(self, utterance: Utterance, result: WindowResult) -> bool:
        """Whether the text is surely in the language that is spoken."""
        judged = self._languages.judge(result.detection)
        if result.window.seconds >= LONGEST_UNSURE:
            utterance.language = judged.language
        elif not judged.is_sure:
            return False
        return judged.language == result.language

    # --- when it is complete ---

    async def _final(self, take: Take, agreement: Agreement) -> None:
        utterance = take.utterance
        start, end = take.start / SAMPLE_RATE, take.end / SAMPLE_RATE
        if self._speech(start, end) < LEAST_SPEECH:
            return
        options = self._options(utterance)
        if not agreement.words:
            result = await self._whole(Window(take.samples, start, options))
            self._settle_language(utterance, result.detection)
            self._add_result(utterance, result)
            return
        result = await self._behind(agreement, Window(take.samples, start, options))
        self._add_result(utterance, result)
        await self._add_rest(take)

    async def _behind(self, agreement: Agreement, window: Window) -> WindowResult:
        """What follows the words that are given out; nothing where it fails or is doubtful."""
        options = replace(window.options, prefix=agreement.text)
        try:
            result = await self._result(replace(window, options=options))
        except EngineDead:
            raise
        except AsrError as error:  # among others where the prefix fills the text context
            log.info("an utterance is decoded in two windows: %s", error)
            return WindowResult(window)
        is_doubtful = result.rejected or any(s.doubt is not None for s in result.segments)
        return WindowResult(window) if is_doubtful else result

    async def _whole(self, window: Window) -> WindowResult:
        """The result of a window that has no prefix, its gaps decoded again."""
        coverage = self._coverage()
        result = await self._result(window)
        judged = self._languages.judge(result.detection)
        if judged.language != result.language:
            options = replace(window.options, language=judged.language)
            result = await self._result(replace(window, options=options))
        result = coverage.without_invented(result)
        for part in coverage.windows_to_redecode(result):
            result = spliced(result, coverage.without_invented(await self._result(part)))
        return result

    async def _add_rest(self, take: Take) -> None:
        """Decode speech behind the last word as a window of its own, where there is any.

        The text before it is its prompt: behind a prefix the model may end too soon, or doubt.
        """
        utterance = take.utterance
        start, end = utterance.words[-1].end, take.end / SAMPLE_RATE
        if sum(span.seconds for span in self._track.spans(start, end)) < SHORTEST_LAST:
            return
        options = self._options(utterance)
        if self._setup.info.can_prompt:
            options = replace(options, prompt=(options.prompt or "") + utterance.text)
        first = round(start * SAMPLE_RATE) - take.start
        window = Window(take.samples[first:], start, options)
        self._add_result(utterance, self._coverage().without_invented(await self._result(window)))

    # --- both ---

    async def _result(self, window: Window) -> WindowResult:
        with self._scheduler.admit(is_live=True) as request:
            return await request.submit(window).result

    def _coverage(self) -> SpeechCoverage:
        return SpeechCoverage(self._track, 0.0, self._setup.metrics)

    def _options(self, utterance: Utterance) -> Options:
        options = self._setup.policy.apply(utterance.options.options)
        timestamps: Timestamps = "word" if self._setup.info.has_words else "segment"
        return replace(
            options,
            timestamps=timestamps,
            condition_on_previous_text=None,
            language=options.language or utterance.language,
        )

    def _speech(self, start: float, end: float) -> float:
        return sum(span.seconds for span in self._track.voiced(start, end))

    def _settle_language(self, utterance: Utterance, detection: LanguageDetection) -> None:
        if utterance.language is None:
            utterance.language = detection.language
        if not utterance.probabilities:
            utterance.probabilities = detection.probabilities

    def _add_result(self, utterance: Utterance, result: WindowResult) -> None:
        for segment in result.segments:
            self._add(utterance, segment.timed_words, (segment,), result.window.start)

    def _add(
        self,
        utterance: Utterance,
        words: Sequence[Word],
        segments: Sequence[Segment],
        offset: float,
    ) -> None:
        """Add the first words of a window's segments."""
        tokens = [token for segment in segments for token in segment.token_logprobs]
        length = len("".join(word.text for word in words).encode())
        placed = [replace(w, start=w.start + offset, end=w.end + offset) for w in words]
        utterance.add(placed, between(tokens, 0, length))

    def _tell(self, utterance: Utterance) -> None:
        """Give out the text that the client has not had, once it is told of the utterance."""
        if utterance.options.turns is None and not utterance.is_committed:
            return
        text = "".join(utterance.texts[utterance.told :])
        utterance.told = len(utterance.texts)
        if text:
            logprobs = tuple(utterance.logprobs[utterance.told_logprobs :])
            utterance.told_logprobs = len(utterance.logprobs)
            self._outbox.put(Delta(utterance.id, text, logprobs))

    def _completed(self, utterance: Utterance) -> Completed:
        return Completed(
            utterance.id,
            utterance.text,
            utterance.start / SAMPLE_RATE,
            utterance.end / SAMPLE_RATE,
            utterance.language,
            utterance.probabilities,
            self._words(utterance),
            tuple(utterance.logprobs),
        )

    def _words(self, utterance: Utterance) -> tuple[Word, ...]:
        """The words with the times of their speech alone; none where the server gives no times."""
        words = tuple(utterance.words)
        if not words or self._setup.policy.timestamps == "none":
            return ()
        whole = Segment(words[0].start, words[-1].end, utterance.text, words)
        [trimmed] = TimeTrimmer(self._track).trim([whole])
        return trimmed.words


def _partial_result(pending: ScheduledWindow) -> WindowResult:
    """The result of a partial; one without text where it failed, because the last one will tell."""
    error = pending.result.exception()
    if error is None:
        return pending.result.result()
    if isinstance(error, EngineDead) or not isinstance(error, AsrError):
        raise error
    return WindowResult(pending.window)
