"""Asks the engine for the text of each utterance, in order."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from asr.engines.engine import Window, WindowResult
from asr.errors import AsrError, EngineDead
from asr.live.events import Completed, Delta, Failed
from asr.live.outbox import Outbox
from asr.live.utterance import Take, Utterance
from asr.options import Options, Timestamps
from asr.pcm import SAMPLE_RATE
from asr.transcription.coverage import SpeechCoverage
from asr.transcription.joiner import shifted
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup
from asr.vad.detector import SpeechTrack

LEAST_SPEECH = 0.2  # A window with fewer seconds of speech is not sent to the engine.


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

    async def next(self) -> None:
        """Transcribe the first window until its text is complete, and take it out."""
        take = self._takes[0]
        utterance = take.utterance
        await self._transcribe(take)
        if not utterance.is_dropped:
            self._tell(utterance)
        self._takes.popleft()
        if take.is_last and not utterance.is_dropped and not utterance.has_failed:
            self._outbox.put(_completed(utterance))

    async def _transcribe(self, take: Take) -> None:
        while not take.is_complete:
            take.changed.clear()
            await take.changed.wait()
        utterance = take.utterance
        if utterance.is_dropped or utterance.has_failed:
            return
        try:
            await self._final(take)
        except AsrError as error:
            utterance.has_failed = True
            self._outbox.put(Failed(utterance.id, error))
            if isinstance(error, EngineDead):
                raise

    async def _final(self, take: Take) -> None:
        start, end = take.start / SAMPLE_RATE, take.end / SAMPLE_RATE
        if self._speech(start, end) < LEAST_SPEECH:
            return
        window = Window(take.samples, start, self._options(take.utterance))
        with self._scheduler.admit() as request:
            result = await request.submit(window).result
        coverage = SpeechCoverage(self._track, 0.0, self._setup.metrics)
        self._add(take.utterance, coverage.without_invented(result))

    def _options(self, utterance: Utterance) -> Options:
        options = self._setup.policy.apply(utterance.options.options)
        timestamps: Timestamps = "word" if self._setup.info.has_words else "segment"
        return replace(options, timestamps=timestamps, condition_on_previous_text=None)

    def _speech(self, start: float, end: float) -> float:
        return sum(span.seconds for span in self._track.voiced(start, end))

    def _add(self, utterance: Utterance, result: WindowResult) -> None:
        utterance.language = result.language
        utterance.probabilities = result.probabilities
        for segment in result.segments:
            placed = shifted(segment, result.window.start)
            utterance.texts.append(placed.text)
            utterance.words += placed.timed_words
            utterance.logprobs += placed.token_logprobs

    def _tell(self, utterance: Utterance) -> None:
        """Give out the text that the client has not had, once it is told of the utterance."""
        if utterance.options.turns is None and not utterance.is_committed:
            return
        text = "".join(utterance.texts[utterance.told :])
        utterance.told = len(utterance.texts)
        if text:
            self._outbox.put(Delta(utterance.id, text, tuple(utterance.logprobs)))


def _completed(utterance: Utterance) -> Completed:
    return Completed(
        utterance.id,
        utterance.text,
        utterance.start / SAMPLE_RATE,
        utterance.end / SAMPLE_RATE,
        utterance.language,
        utterance.probabilities,
        tuple(utterance.words),
        tuple(utterance.logprobs),
    )
