"""The rest of a window's text, when its audio is complete."""

from __future__ import annotations

import logging
from dataclasses import replace

from asr.engines.engine import Window, WindowResult
from asr.errors import AsrError, EngineDead
from asr.live.decoding.agreement import following
from asr.live.decoding.languages import SessionLanguages
from asr.live.decoding.windows import WindowDecoder
from asr.live.utterance import Take
from asr.pcm import SAMPLE_RATE
from asr.transcript import Word
from asr.transcription.gaps import SHORTEST_LAST, spliced

log = logging.getLogger(__name__)


class Finals:
    """Decodes complete windows, by the rules of a recording's."""

    def __init__(self, decoder: WindowDecoder, languages: SessionLanguages) -> None:
        self._decoder = decoder
        self._languages = languages

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
        result = await self._whole(window)
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

    async def _whole(self, window: Window) -> WindowResult:
        """The result of a window, its gaps decoded again."""
        coverage = self._decoder.coverage()
        result = await self._decoder.decode(window)
        judged = self._languages.judge(result.detection)
        if judged.language != result.language:
            options = replace(window.options, language=judged.language)
            result = await self._decoder.decode(replace(window, options=options))
        result = coverage.without_invented(result)
        for part in coverage.windows_to_redecode(result):
            again = coverage.without_invented(await self._decoder.decode(part))
            result = spliced(result, again)
        return result

    async def _behind(self, prefix: str, window: Window) -> WindowResult:
        """What follows words that the whole text contradicts; nothing where it is doubtful."""
        options = replace(window.options, prefix=prefix)
        try:
            result = await self._decoder.decode(replace(window, options=options))
        except EngineDead:
            raise
        except AsrError as error:  # among others where the prefix fills the text context
            log.info("an utterance is decoded in two windows: %s", error)
            return WindowResult(window)
        is_doubtful = result.rejected or any(s.doubt is not None for s in result.segments)
        return WindowResult(window) if is_doubtful else result

    async def _add_rest(self, take: Take) -> None:
        """Decode speech behind the last word as a window of its own, where there is any.

        The text before it is its prompt: behind a prefix the model may end too soon, or doubt.
        """
        utterance = take.utterance
        start, end = utterance.words[-1].end, take.end / SAMPLE_RATE
        missing = sum(span.seconds for span in self._decoder.track.spans(start, end))
        if missing < SHORTEST_LAST:
            return
        first = round(start * SAMPLE_RATE)
        window = self._decoder.window(utterance, take.samples[first - take.start :], first)
        options = self._decoder.prompted(window.options, utterance.text)
        result = await self._decoder.decode(replace(window, options=options))
        result = self._decoder.coverage().without_invented(result)
        utterance.add(_words(result), result)


def _words(result: WindowResult) -> list[Word]:
    return [word for segment in result.segments for word in segment.timed_words]
