"""The text of a live session is that of the whole recording, with the demo model."""

import jiwer
import pytest
import soundfile

from asr.config.config import DEMO_MODEL, Config
from asr.live.events import Completed, Delta, SpeechStopped
from asr.live.options import LiveAudio, LiveOptions
from asr.live.sessions import LiveSessions
from asr.metrics import Metrics
from asr.options import Options
from asr.transcription.service import open_service
from benchmark.accuracy.scoring import plain
from tests.conftest import eventually, wav
from tests.support.live import texts
from tests.support.transcribers import whole

MOST_FRAMES = 6 * 16_000  # No more of a recording is said.
BLOCK_SECONDS = 0.6  # Audio comes in blocks of this length, each when the one before is decoded.


async def spoken(session, scheduler, samples, rate) -> list:
    """Send a recording at the engine's pace; return all events."""
    block = round(BLOCK_SECONDS * rate)
    async with session:
        for place in range(0, len(samples), block):
            session.append(samples[place : place + block].tobytes())
            due = min(len(samples), place + block) / rate - 0.1
            await eventually(lambda due=due: session.seconds >= due and not scheduler._requests)
        session.append(bytes(2 * rate))
        session.finish()
        return [event async for event in session.events()]


@pytest.mark.usefixtures("needs_demo_model")
async def test_live_text_is_the_text_of_the_recording_and_comes_while_it_is_said():
    words, wrong, early = 0, 0.0, 0
    async with open_service(Config(model_id="demo", dtype="float32"), Metrics()) as service:
        sessions = LiveSessions(service.setup, service.scheduler, 1, 3600.0)
        for name in ("en-short", "es-several"):
            path = DEMO_MODEL.parent / "samples" / f"{name}.flac"
            samples, rate = soundfile.read(path, frames=MOST_FRAMES, dtype="int16")
            recording = whole(wav(samples, rate))
            batch, _ = await service.transcriber.transcribe(recording, Options())
            session = sessions.open(LiveOptions(LiveAudio("pcm", rate)))
            events = await spoken(session, service.scheduler, samples, rate)
            text = plain(batch.text)
            words += len(text.split())
            wrong += jiwer.wer(text, plain("".join(texts(events)))) * len(text.split())
            stopped = {e.item_id: n for n, e in enumerate(events) if isinstance(e, SpeechStopped)}
            early += sum(
                n < stopped.get(e.item_id, 0) for n, e in enumerate(events) if isinstance(e, Delta)
            )
            languages = {e.language for e in events if isinstance(e, Completed)}
            assert languages == {name[:2]}
    assert wrong / words <= 0.05
    assert early >= 3
