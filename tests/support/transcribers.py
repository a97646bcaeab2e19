"""Make transcribers over a test's engine, and the audio that they get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from asr.audio.decoder import Decoder
from asr.diarization.diarizer import Diarizer
from asr.metrics import Metrics
from asr.transcription.diarizing.means import DiarizationMeans
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup
from asr.transcription.transcriber import Transcriber
from tests.support.fake_engine import FakeEngine


async def whole(data: bytes) -> AsyncIterator[bytes]:
    """Yield a body in one piece."""
    yield data


@pytest.fixture
async def make_transcriber(
    make_scheduler: Callable[..., Scheduler],
) -> AsyncIterator[Callable[..., Transcriber]]:
    made: list[Decoder | Transcriber] = []

    def make(
        engine: FakeEngine,
        window_seconds: float = 30.0,
        max_seconds: float = 0.0,
        diarizer: Diarizer | None = None,
        max_queue_seconds: float = 7200.0,
        **setup: Any,  # policy and detector
    ) -> Transcriber:
        scheduler = make_scheduler(engine, max_queue_seconds)
        metrics = Metrics()
        if diarizer is not None:
            setup["diarization"] = DiarizationMeans(lambda: diarizer, metrics)
        decoder = Decoder(max_seconds, 4)
        shared = TranscriptionSetup(decoder, engine.info, metrics, window_seconds, **setup)
        transcriber = Transcriber(shared, scheduler)
        made.extend([decoder, transcriber])
        return transcriber

    yield make
    for each in made:
        each.close()
