"""The first words of a window, while somebody speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from asr.engines.engine import Window, WindowResult
from asr.errors import AsrError, EngineDead
from asr.live.decoding.agreement import Agreement, following
from asr.live.decoding.languages import SessionLanguages
from asr.live.decoding.windows import WindowDecoder
from asr.live.utterance import LiveUtterance, Take
from asr.options import Thresholds
from asr.pcm import SAMPLE_RATE
from asr.text import compression_ratio
from asr.transcription.admission.scheduled_window import ScheduledWindow

STEP = round(0.3 * SAMPLE_RATE)  # A window is decoded again when it has so many samples more.
LONGEST_UNSURE = 3.0  # The likeliest language is taken for true when a window has so many seconds.


class Partials:
    """Decodes one window again and again until it is complete.

    One decoding is on its way at a time. The words that two of them agree on are given out. They
    are a prefix of the next ones only from the first one on that contradicts them: behind a prefix
    there are no timestamps, and without these the model writes worse text.

    Args:
        tell: is called when words or a hypothesis are new, with the hypothesis.
    """

    def __init__(
        self,
        decoder: WindowDecoder,
        languages: SessionLanguages,
        take: Take,
        tell: Callable[[str], None],
    ) -> None:
        self._decoder = decoder
        self._languages = languages
        self._take = take
        self._tell = tell
        self._is_contradicted = False
        self.agreement = Agreement(take.utterance.options.hold_back)

    async def run(self) -> None:
        """Decode as often as there is more audio.

        Raises:
            EngineDead: the engine has ended.
        """
        length = STEP
        while await self._take.reaches(length):
            length = STEP + await self._decode()

    async def _decode(self) -> int:
        """Decode the window as far as it has come; return how many samples were decoded."""
        take, window = self._take, self._window()
        if self._decoder.is_silent(window):
            return take.length
        with self._decoder.request() as request:
            pending = request.submit(window)
            pending.result.add_done_callback(lambda _: take.changed.set())
            while not (pending.result.done() or take.is_complete):
                take.changed.clear()
                await take.changed.wait()
                if take.length >= len(pending.window.samples) + STEP:
                    request.replace(pending, self._window())
        if not take.is_complete:
            self._compare(_result(pending))
        return len(pending.window.samples)

    def _window(self) -> Window:
        take = self._take
        window = self._decoder.window(take.utterance, take.samples, take.start)
        prefix = self.agreement.text if self._is_contradicted else None
        options = replace(window.options, prefix=prefix, thresholds=Thresholds())
        return replace(window, options=options)

    def _compare(self, result: WindowResult) -> None:
        """Give out the words that this result and the one before agree on."""
        take, utterance, agreement = self._take, self._take.utterance, self.agreement
        if not (self._is_likely(result) and self._has_language(utterance, result)):
            agreement.contradict()
            return
        words = [word for segment in result.segments for word in segment.timed_words]
        rest = words
        if result.window.options.prefix is None:
            known = following(words, agreement.text)
            self._is_contradicted = known is None
            rest = known or []
        skipped = words[: len(words) - len(rest)]
        agreed = agreement.update(rest, result.window.seconds)
        if agreed:
            utterance.settle_language(result.detection)
            utterance.add(agreed, result, skipped)
            take.given_until = take.start + round(agreement.end * SAMPLE_RATE)
        self._tell("".join(word.text for word in agreement.rest))

    def _is_likely(self, result: WindowResult) -> bool:
        """Whether the text keeps the limits beyond which a whole window is decoded again."""
        limits = self._decoder.thresholds
        known = result.window.options.prefix or ""
        text = known + "".join(segment.text for segment in result.segments)
        ratio, likely = limits.compression_ratio, limits.avg_logprob
        if ratio is not None and compression_ratio(text.strip()) > ratio:
            return False
        logprobs = [s.avg_logprob for s in result.segments if s.avg_logprob is not None]
        if likely is not None and any(value < likely for value in logprobs):
            return False
        kept = self._decoder.coverage(result.window).without_invented(result)
        return kept.segments == result.segments

    def _has_language(self, utterance: LiveUtterance, result: WindowResult) -> bool:
        """Whether the text is surely in the language that is spoken."""
        if utterance.language is not None:
            return True
        judged = self._languages.judge(result.detection)
        if result.window.seconds >= LONGEST_UNSURE:
            utterance.language = judged.language
        elif not judged.is_sure:
            return False
        return judged.language == result.language


def _result(pending: ScheduledWindow) -> WindowResult:
    """The result of a window; one without text where it failed: the last decoding will tell."""
    error = pending.result.exception()
    if error is None:
        return pending.result.result()
    if isinstance(error, EngineDead) or not isinstance(error, AsrError):
        raise error
    return WindowResult(pending.window)
