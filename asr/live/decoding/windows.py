"""What every window of a session is decoded with: its options, its detector, the scheduler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from asr.config.parsers import TimestampRule
from asr.engines.engine import Window, WindowResult
from asr.live.utterance import LiveUtterance
from asr.metrics import Metrics
from asr.options import Options, Thresholds, Timestamps
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcription.coverage import SpeechCoverage
from asr.transcription.scheduled_request import ScheduledRequest
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup
from asr.vad.detector import SpeechTrack, TrackUntil

LEAST_SPEECH = 0.2  # A window with fewer seconds of speech is not sent to the engine.


class WindowDecoder:
    """Decodes windows of one session.

    Args:
        track: the detector's result for the session.
        is_ahead: whether its audio comes faster than people speak: then nobody waits for the text
            of what was said just now, and the windows have no precedence.
    """

    def __init__(
        self,
        setup: TranscriptionSetup,
        scheduler: Scheduler,
        track: SpeechTrack,
        is_ahead: Callable[[], bool],
    ) -> None:
        self._setup = setup
        self._scheduler = scheduler
        self._is_ahead = is_ahead
        self._track = track
        self.is_diarized = False  # whether the diarizer takes the windows, too

    @property
    def can_prefix(self) -> bool:
        return self._setup.info.can_prefix

    @property
    def metrics(self) -> Metrics:
        return self._setup.metrics

    @property
    def has_words(self) -> bool:
        """Whether words have their own times."""
        return self._setup.info.has_words

    @property
    def thresholds(self) -> Thresholds:
        return self._setup.policy.thresholds

    @property
    def timestamps(self) -> TimestampRule:
        return self._setup.policy.timestamps

    def request(self) -> ScheduledRequest:
        """A place in the scheduler's live lane, for one window.

        Raises:
            EngineDead: the engine has ended.
        """
        request = self._scheduler.admit(is_live=True)
        request.is_urgent = not self._is_ahead()
        request.is_diarized = self.is_diarized and not request.is_urgent
        return request

    async def decode(self, window: Window) -> WindowResult:
        """Decode one window; it is dropped where nobody waits any more.

        Raises:
            AsrError: it has failed.
        """
        with self.request() as request:
            return await request.submit(window).result

    def window(self, utterance: LiveUtterance, samples: Samples, start: int) -> Window:
        """A window of an utterance with its full options.

        Args:
            start: samples from the session's start.
        """
        options = self._setup.policy.apply(utterance.options.options)
        timestamps: Timestamps = "word" if self._setup.info.has_words else "segment"
        options = replace(
            options,
            timestamps=timestamps,
            condition_on_previous_text=None,
            speakers=None,
            is_live=not self._is_ahead(),
            language=options.language or utterance.language,
        )
        return Window(samples, start / SAMPLE_RATE, options)

    def prompted(self, options: Options, text: str) -> Options:
        """`options` with the text before a window behind the client's own prompt."""
        if not self._setup.info.can_prompt:
            return options
        text = text.replace("<|", "< |")  # a prompt may hold no special tokens
        return replace(options, prompt=(options.prompt or "") + text)

    def is_silent(self, window: Window) -> bool:
        """Whether the detector knows of too little speech in `window`."""
        voiced = self.track_until(window.end).voiced(window.start, window.end)
        return sum(span.seconds for span in voiced) < LEAST_SPEECH

    def coverage(self, window: Window) -> SpeechCoverage:
        """The rules for invented and for missing text of a window."""
        return SpeechCoverage(self.track_until(window.end), 0.0, self._setup.metrics)

    def track_until(self, end: float) -> SpeechTrack:
        """The track up to `end`, in seconds from the session's start; no later audio changes it."""
        return TrackUntil(self._track, end)
