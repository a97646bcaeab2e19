"""The rest of a window's text, when its audio is complete."""

from __future__ import annotations

import logging
from dataclasses import replace

from asr.engines.engine import Window, WindowResult
from asr.errors import AsrError, EngineDead
from asr.live.decoding.agreement import following
from asr.live.decoding.context import SpokenContext, own_part
from asr.live.decoding.languages import SessionLanguages
from asr.live.decoding.windows import WindowDecoder
from asr.live.utterance import Take
from asr.pcm import SAMPLE_RATE
from asr.transcript import Word
from asr.transcription.gaps import SHORTEST_LAST, spliced

log = logging.getLogger(__name__)

SURE = 0.85  # Words of a lower mean probability may well be others.


class Finals:
    """Decodes complete windows, by the rules of a recording's."""

    def __init__(
        self, decoder: WindowDecoder, languages: SessionLanguages, context: SpokenContext
    ) -> None:
        self._decoder = decoder
        self._languages = languages
        self._context = context

    async def add_to(self, take: Take, prefix: str) -> None:
        """Add the text of a window that is not there yet.

        Args:
            prefix: the window's words that are given out.

        Raises:
            AsrError: the window has failed.
        """
        utterance = take.utterance
        window = self._decoder.window(utterance, take.samples, take.start)
        if self._decoder.is_silent(window):
            return
        result = await self._whole(window, take)
        utterance.settle_language(result.detection)
        words = _words(result)
        rest = following(words, prefix)
        if rest is not None:
            utterance.add(rest, result, words[: len(words) - len(rest)])
            return
        result = await self._behind(
            prefix, self._decoder.window(utterance, take.samples, take.start)
        )
        utterance.add(_words(result), result)
        await self._add_rest(take)

    async def _whole(self, window: Window, take: Take) -> WindowResult:
        """The result of a window, its gaps decoded again."""
        coverage = self._decoder.coverage(window)
        result = await self._decoded(window)
        if self._decoder.has_words and result.segments and confidence(result) < SURE:
            result = await self._in_context(result, take) or result
        result = coverage.without_invented(result)
        for part in coverage.windows_to_redecode(result):
            again = coverage.without_invented(await self._decoder.decode(part))
            result = spliced(result, again)
        return result

    async def _in_context(self, alone: WindowResult, take: Take) -> WindowResult | None:
        """The result of a window behind what was said before it; None where that is no surer.

        Where the model stops before the window's own words, the text before is its prefix.
        """
        known = alone.language if _is_good(alone) else None
        context = self._context.joined(alone.window, take, known)
        if context is None:
            return None
        self._decoder.metrics.live_in_context.inc()
        joined, text = context
        for prefix in (None, text) if self._decoder.can_prefix else (None,):
            options = replace(joined.options, prefix=prefix)
            result = own_part(await self._continued(replace(joined, options=options)), take)
            if confidence(result) > confidence(alone):
                return _in_place_of(alone, result)
        return None

    async def _decoded(self, window: Window) -> WindowResult:
        """The result of a window in the likeliest language."""
        result = await self._decoder.decode(window)
        judged = self._languages.judge(result.detection)
        if judged.language == result.language:
            return result
        options = replace(window.options, language=judged.language)
        return await self._decoder.decode(replace(window, options=options))

    async def _behind(self, prefix: str, window: Window) -> WindowResult:
        """What follows words that the whole text contradicts; nothing where it is doubtful."""
        options = replace(window.options, prefix=prefix)
        result = await self._continued(replace(window, options=options))
        return result if _is_good(result) else WindowResult(window)

    async def _continued(self, window: Window) -> WindowResult:
        """The result of a window with a prefix; nothing where that cannot be one."""
        try:
            return await self._decoder.decode(window)
        except EngineDead:
            raise
        except AsrError as error:  # among others where the prefix fills the text context
            log.info("a text that is known is no prefix: %s", error)
            return WindowResult(window)

    async def _add_rest(self, take: Take) -> None:
        """Decode speech behind the last word as a window of its own, where there is any.

        The text before it is its prompt: behind a prefix the model may end too soon, or doubt.
        """
        utterance = take.utterance
        start, end = utterance.words[-1].end, take.end / SAMPLE_RATE
        speech = self._decoder.track_until(end).spans(start, end)
        missing = sum(span.seconds for span in speech)
        if missing < SHORTEST_LAST:
            return
        first = round(start * SAMPLE_RATE)
        window = self._decoder.window(utterance, take.samples[first - take.start :], first)
        options = self._decoder.prompted(window.options, utterance.text)
        result = await self._decoder.decode(replace(window, options=options))
        result = self._decoder.coverage(window).without_invented(result)
        utterance.add(_words(result), result)


def _in_place_of(alone: WindowResult, result: WindowResult) -> WindowResult:
    """A result with the doubts of another one: context makes a sound no voice."""
    doubt = next((each.doubt for each in alone.segments if each.doubt is not None), None)
    segments = tuple(replace(segment, doubt=doubt) for segment in result.segments)
    return replace(result, segments=segments, probabilities=alone.probabilities)


def confidence(result: WindowResult) -> float:
    """The mean probability of the words; 0 where there are none, or they are doubted.

    It is 1 where the engine gives words no probabilities.
    """
    if not _is_good(result):
        return 0.0
    known = [word.probability for word in _words(result) if word.probability is not None]
    return sum(known) / len(known) if known else 1.0


def _is_good(result: WindowResult) -> bool:
    """Whether there is a text, and it is not doubted."""
    is_doubtful = result.rejected or any(s.doubt is not None for s in result.segments)
    return bool(result.segments) and not is_doubtful


def _words(result: WindowResult) -> list[Word]:
    return [word for segment in result.segments for word in segment.timed_words]
