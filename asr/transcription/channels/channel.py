"""One channel of a recording, or the mix of all: its windows, its language and its text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from asr.audio.damage import Damage
from asr.engines.engine import Window, WindowResult
from asr.options import Options, VadOptions
from asr.pcm import Samples
from asr.transcript import LanguageDetection, Segment
from asr.transcription.admission.scheduled_window import ScheduledWindow
from asr.transcription.channels.previous_text import PreviousText
from asr.transcription.coverage import MAX_DISTANCE
from asr.transcription.joiner import Joiner
from asr.transcription.setup import TranscriptionSetup
from asr.vad.detector import DetectorFeed, Span
from asr.vad.word_trim import REACH, TimeTrimmer

ROUNDING = 0.001  # Times are rounded to so many seconds.


class AudioChannel:
    """What is known of a channel while it is transcribed.

    Args:
        damage: of the recording.
        number: of the channel, from 0; None: all are mixed.
    """

    def __init__(
        self, setup: TranscriptionSetup, options: Options, damage: Damage, number: int | None
    ) -> None:
        self.number = number
        self.coverage = setup.coverage(options.vad)
        self.coverage.damage = damage
        self.cutter = setup.cutter(options.vad)
        self.language = setup.policy.language or options.language  # or the one detected so far
        self.language_probability: float | None = None  # None: it is not detected
        self.previous: PreviousText | None = None  # where it is the windows' prompt
        if options.condition_on_previous_text:
            self.previous = PreviousText(options.prompt)
        self.frontier = 0.0  # seconds: no segment that is still to come starts before
        self._is_chosen = self.language is not None
        self._knows_several = len(setup.info.languages) > 1
        self._overlap = setup.overlap
        self._has_words = options.timestamps == "word"
        self._options = _for_engine(options)
        self._joiner = Joiner(setup.overlap, awaits_words=self._has_words)
        self._trimmer = TimeTrimmer(self.coverage.track)
        track = self.coverage.track
        self._feed = None if track is None else DetectorFeed(track)
        self._undetected: ScheduledWindow | None = None  # whose language is the next one's
        self._copies: set[Window] = set()  # whose text an earlier channel has
        self._has_copies = self._has_own = False

    @property
    def is_copy(self) -> bool:
        """Whether an earlier channel has all of its sound."""
        return self._has_copies and not self._has_own

    def take(self, samples: Samples) -> None:
        """Take the next samples, [samples]."""
        self.cutter.take(samples)
        if self._feed is not None:
            self._feed.take(samples)

    def cut(self) -> Window:
        """The next window, which is complete; speech is detected up to its end."""
        window = self.cutter.cut()
        if self._feed is not None:
            self._feed.advance(window.end + MAX_DISTANCE)
        return window

    def detect_rest(self) -> None:
        """Detect speech up to the end: no samples follow."""
        if self._feed is not None:
            self._feed.finish()

    def speech(self, start: float, end: float) -> list[Span]:
        """Where somebody surely speaks in what was cut; empty where VAD is off."""
        track = self.coverage.track
        return [] if track is None else track.spans(start, end)

    def note(self, window: Window, is_copy: bool) -> None:
        """Learn whether an earlier channel has the same window."""
        if is_copy:
            self._has_copies = True
            self._copies.add(window)
        elif not window.is_silent:
            self._has_own = True

    def has_copied(self, window: Window) -> bool:
        """Whether an earlier channel has the window's text."""
        return window in self._copies

    async def next_options(self) -> Options:
        """What the engine reads of the next window's options, once all before it is known."""
        await self.settle_language()
        if self.previous is not None:
            prompt = await self.previous.next_prompt()
            self._options = replace(self._options, prompt=prompt)
        return self._options

    def submitted(self, scheduled: ScheduledWindow) -> None:
        """Learn which window's language may be that of later ones."""
        if self._options.language is None and self._knows_several:
            self._undetected = scheduled

    async def settle_language(self) -> None:
        """Wait for the last window's language: once detected, it holds for all later ones."""
        scheduled, self._undetected = self._undetected, None
        if scheduled is None:
            return
        detection = await scheduled.detection
        if scheduled.window.start or detection.is_sure:
            self._options = replace(self._options, language=detection.language)

    def push(self, result: WindowResult) -> tuple[Segment, ...]:
        """Take in the next result; the segments that no later one can change.

        Segments before the result that have no words yet are not trimmed: they come again.
        """
        if not self._is_chosen:
            self.language = result.language or self.language
            self._note_probability(result.detection)
        if not result.is_final:
            early = self._joiner.push_early(result)
            return tuple(early) if self._has_words else self._trimmer.trim(early)
        if result.window in self._copies:
            self._copies.discard(result.window)
        else:
            self.coverage.record_result(result)
        segments = self._numbered(self._trimmer.trim(self._joiner.push(result)))
        reached = [result.window.end - self._overlap, *self._joiner.held_starts]
        self.frontier = max(self.frontier, min(reached) - REACH - ROUNDING)
        return segments

    def finish(self) -> tuple[Segment, ...]:
        """The segments that were held back."""
        return self._numbered(self._trimmer.trim(self._joiner.finish()))

    def _note_probability(self, detection: LanguageDetection) -> None:
        if detection.language is not None and detection.probabilities:
            self.language_probability = detection.probabilities.get(detection.language)

    def _numbered(self, segments: Iterable[Segment]) -> tuple[Segment, ...]:
        if self.number is None:
            return tuple(segments)
        return tuple(replace(segment, channel=self.number) for segment in segments)


def _for_engine(options: Options) -> Options:
    """The options that an engine reads; windows that differ in others alone may share a batch."""
    return replace(
        options,
        vad=VadOptions(),
        audio_track=None,
        part=None,
        channels="mix",
        condition_on_previous_text=None,
        segment_length=None,
        speakers=None,
    )
