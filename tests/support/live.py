"""Open live sessions over a test's engine, in which a tone is speech and silence is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asr.audio.decoder import Decoder
from asr.config.config import Config
from asr.engines.engine import Window, WindowResult
from asr.live.events import Completed, Delta, LiveEvent
from asr.live.options import LiveAudio, LiveOptions
from asr.live.session import LiveSession
from asr.live.sessions import LiveSessions
from asr.metrics import Metrics
from asr.options import Thresholds
from asr.transcript import Segment, Word
from asr.transcription.policy import RequestPolicy
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup
from asr.vad.detector import Detector, Framer, Span, frames_between, spans, spans_of
from tests.conftest import tone
from tests.support.fake_engine import FakeEngine

PCM = LiveAudio("pcm", 16_000)
POLICY = RequestPolicy(thresholds=Config().thresholds)
WORD_SECONDS = 0.5  # A `TalkingEngine` hears a word in so many seconds.
DETECTED = LiveOptions(PCM)


class LoudTrack:
    """Takes every frame that is not silent for speech."""

    def __init__(self) -> None:
        self._framer = Framer()
        self._flags = np.zeros(0, bool)

    def push(self, samples: np.ndarray) -> None:
        frames = self._framer.push(samples)
        self._flags = np.append(self._flags, np.abs(frames).max(axis=1, initial=0) > 0.01)

    def finish(self) -> None: ...

    def is_possible(self, start: float, end: float) -> bool:
        return bool(self._flags[frames_between(start, end)].any())

    def spans(self, start: float, end: float) -> list[Span]:
        flags = self._flags[frames_between(start, end)]
        return spans(flags, flags, frames_between(start, end).start)

    def certainty(self, start: float, end: float) -> float | None:
        return float(self.is_possible(start, end))

    def voiced(self, start: float, end: float) -> list[Span]:
        place = frames_between(start, end)
        return spans_of(self._flags[place], place.start)


def is_partial(window: Window) -> bool:
    """Whether a window is one of an utterance that goes on: its text is not decoded again."""
    return window.options.thresholds == Thresholds()


class TalkingEngine(FakeEngine):
    """Writes a word for each half second, " w0", " w1" and so on, and goes on behind a prefix.

    The last word of a partial window is a guess, another one each time.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.info = replace(self.info, can_prefix=True, can_prompt=True, has_words=True)
        self.transcribe = self.written
        self.detected = {"en": 1.0}  # probabilities of languages

    def written(self, window: Window) -> WindowResult:
        prefix = window.options.prefix
        count = int(window.seconds / WORD_SECONDS)
        texts = [f" w{n}" for n in range(count)]
        if is_partial(window) and texts:
            texts[-1] = f" guess{len(self.steps)}"
        known = len((prefix or "").split())
        words = tuple(
            Word(text, n * WORD_SECONDS, (n + 1) * WORD_SECONDS) for n, text in enumerate(texts)
        )[known:]
        text = "".join(word.text for word in words)
        segments = (Segment(0.0, window.seconds, text, words),) if words else ()
        asked = window.options.language
        likely = max(self.detected, key=lambda code: self.detected[code])
        probabilities = {} if asked else self.detected
        return WindowResult(window, segments, asked or likely, probabilities)


def pcm(*parts: np.ndarray) -> bytes:
    """Return sounds, one after the other, as 16-bit samples."""
    return (np.concatenate(parts) * 32767).astype("<i2").tobytes()


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * 16_000), np.float32)


def said(*pauses: float, seconds: float = 1.0) -> bytes:
    """Return a tone for each pause, which follows it."""
    return pcm(*(part for pause in pauses for part in (tone(seconds), silence(pause))))


async def told(session: LiveSession, *sent: bytes) -> list[LiveEvent]:
    """Send audio and the end of it; return all events."""
    async with session:
        for data in sent:
            session.append(data)
        session.finish()
        return [event async for event in session.events()]


def texts(events: list[LiveEvent]) -> list[str]:
    """Return the text of each utterance, and see that its deltas are that."""
    deltas: dict[str, str] = {}
    found = []
    for event in events:
        if isinstance(event, Delta):
            deltas[event.item_id] = deltas.get(event.item_id, "") + event.text
        elif isinstance(event, Completed):
            assert deltas.get(event.item_id, "") == event.text
            found.append(event.text)
    return found


@pytest.fixture
async def make_sessions(
    make_scheduler: Callable[..., Scheduler],
) -> AsyncIterator[Callable[..., LiveSessions]]:
    decoder = Decoder(0.0, 1)
    made: list[TranscriptionSetup] = []

    def make(
        engine: FakeEngine, most: int = 4, longest_s: float = 3600.0, **setup: Any
    ) -> LiveSessions:
        setup.setdefault("policy", POLICY)
        shared = TranscriptionSetup(decoder, engine.info, Metrics(), **setup)
        made.append(shared)
        detector = Detector(lambda _: LoudTrack())
        return LiveSessions(shared, make_scheduler(engine), most, longest_s, detector)

    yield make
    decoder.close()
    for each in made:
        each.threads.close()


@pytest.fixture
def make_session(
    make_sessions: Callable[..., LiveSessions],
) -> Callable[..., LiveSession]:
    def make(engine: FakeEngine, options: LiveOptions = DETECTED, **how: Any) -> LiveSession:
        return make_sessions(engine, **how).open(options)

    return make
