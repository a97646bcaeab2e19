"""Words of a real recording are where they are spoken, not in the pauses beside them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asr.config.config import Config
from asr.metrics import Metrics
from asr.options import Options
from asr.transcript import Transcript
from asr.transcription.service import open_service
from tests.support.transcribers import whole

pytestmark = pytest.mark.real

# These words of the recording lie here, in seconds, by its loudness and the pauses beside them.
SPOKEN = {"fellow": (1.1, 1.6), "americans": (1.6, 2.2), "ask": (3.3, 3.75), "not": (4.0, 4.3)}
TOLERANCE = 0.2  # seconds


async def transcribed(checkpoint: str, data: bytes, vad: str, **options: str) -> Transcript:
    config = Config(model_id=checkpoint, device="cpu", dtype="float32", vad=vad)
    async with open_service(config, Metrics()) as service:
        transcript, _ = await service.transcriber.transcribe(whole(data), Options("en", **options))
    return transcript


@pytest.mark.parametrize("vad", ["silero", "energy"])
def test_words_do_not_stretch_over_the_pauses_beside_them(
    whisper_checkpoint: str, jfk: Path, vad: str
) -> None:
    transcript = asyncio.run(
        transcribed(whisper_checkpoint, jfk.read_bytes(), vad, timestamps="word")
    )
    words = [word for segment in transcript.segments for word in segment.words]
    times: dict[str, tuple[float, float]] = {}
    for word in words:  # the first of each
        times.setdefault(word.text.strip(" ,.").casefold(), (word.start, word.end))
    for text, (start, end) in SPOKEN.items():
        assert times[text] == pytest.approx((start, end), abs=TOLERANCE), text


def test_segments_begin_and_end_with_speech_without_words_too(
    whisper_checkpoint: str, jfk: Path
) -> None:
    bare = asyncio.run(transcribed(whisper_checkpoint, jfk.read_bytes(), "silero"))
    timed = asyncio.run(
        transcribed(whisper_checkpoint, jfk.read_bytes(), "silero", timestamps="word")
    )
    assert [(s.start, s.end) for s in bare.segments] == [(s.start, s.end) for s in timed.segments]
    assert bare.segments[0].start == pytest.approx(0.3, abs=TOLERANCE)
    assert bare.segments[-1].end == pytest.approx(10.5, abs=TOLERANCE)
