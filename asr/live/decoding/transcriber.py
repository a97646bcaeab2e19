"""Tells the text of each utterance, in order, its first words while it goes on."""

from __future__ import annotations

import sys
from collections import deque

from asr.errors import AsrError, EngineDead
from asr.live.decoding.context import SpokenContext
from asr.live.decoding.finals import Finals
from asr.live.decoding.languages import SessionLanguages
from asr.live.decoding.partials import Partials
from asr.live.decoding.windows import WindowDecoder
from asr.live.events import Completed, Delta, Failed, Hypothesis
from asr.live.outbox import Outbox
from asr.live.speakers.completions import Completions
from asr.live.utterance import LiveUtterance, Take
from asr.pcm import SAMPLE_RATE
from asr.transcript import Segment, Word
from asr.vad.word_trim import TimeTrimmer


class LiveTranscriber:
    """Transcribes the windows of one session, one after the other.

    Args:
        takes: the windows, in order; those that are done are taken out.
        outbox: takes the events.
        completions: take what is done.
    """

    def __init__(
        self,
        decoder: WindowDecoder,
        takes: deque[Take],
        outbox: Outbox,
        completions: Completions,
    ) -> None:
        self._decoder = decoder
        self._takes = takes
        self._outbox = outbox
        self._completions = completions
        self._languages = SessionLanguages()
        self._context = SpokenContext()
        self._finals = Finals(decoder, self._languages, self._context)

    @property
    def held(self) -> int:
        """Bytes that it keeps of what was said."""
        return self._context.held

    async def next(self) -> None:
        """Transcribe the first window until its text is complete, and take it out.

        Raises:
            EngineDead: nothing can be transcribed any more; the client is told.
        """
        take = self._takes[0]
        utterance = take.utterance
        self._decoder.is_diarized = utterance.options.options.speakers is not None
        known, texts = len(utterance.words), len(utterance.texts)
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
        has_words = len(utterance.words) > known
        if has_words:
            self._context.add(take, "".join(utterance.texts[texts:]))
        if not take.is_last:
            self._completions.put(take, has_words, (), None)
            return
        if utterance.words:
            self._languages.add(utterance.language, utterance.seconds)
        words = self._words(utterance)
        self._completions.put(take, has_words, words, self._completed(utterance, words))

    async def _transcribe(self, take: Take) -> None:
        utterance, prefix = take.utterance, ""
        if self._decoder.can_prefix and utterance.options.turns is not None:

            def tell(hypothesis: str) -> None:
                self._tell(utterance)
                self._outbox.put(Hypothesis(utterance.id, hypothesis))

            partials = Partials(self._decoder, self._languages, take, tell)
            await partials.run()
            prefix = partials.agreement.text
        await take.reaches(sys.maxsize)
        if not utterance.is_dropped:
            await self._finals.add_to(take, prefix)

    def _tell(self, utterance: LiveUtterance) -> None:
        """Give out the text that the client has not had, once it is told of the utterance."""
        if utterance.options.turns is None and not utterance.is_committed:
            return
        text, logprobs = utterance.untold()
        if text:
            self._outbox.put(Delta(utterance.id, text, logprobs))

    def _completed(self, utterance: LiveUtterance, words: tuple[Word, ...]) -> Completed:
        return Completed(
            utterance.id,
            utterance.text,
            utterance.start / SAMPLE_RATE,
            utterance.end / SAMPLE_RATE,
            utterance.language,
            utterance.probabilities,
            () if self._decoder.timestamps == "none" else words,
            tuple(utterance.logprobs),
        )

    def _words(self, utterance: LiveUtterance) -> tuple[Word, ...]:
        """The words with the times of their speech alone."""
        words = tuple(utterance.words)
        if not words:
            return ()
        whole = Segment(words[0].start, words[-1].end, utterance.text, words)
        track = self._decoder.track_until(utterance.end / SAMPLE_RATE)
        [trimmed] = TimeTrimmer(track).trim([whole])
        return trimmed.words
