"""The diarizer, its thread and the names of voices, as a server has them."""

import asyncio

import pytest

from asr.diarization.diarizer import Diarization, VoiceTurn
from asr.http.app_keys import TRANSCRIBER
from asr.metrics import Metrics
from asr.options import KnownSpeaker, Options, SpeakerOptions
from asr.transcript import Speaker, SpeakerTurn
from asr.transcription.diarizing.means import DiarizationMeans, named
from asr.transcription.scheduled_request import Timings
from tests.conftest import eventually, wav
from tests.support.fake_diarizer import LOUD_VOICE, QUIET_VOICE, FakeDiarizer
from tests.support.fake_engine import FakeEngine
from tests.support.spoken import dialogue
from tests.support.transcribers import whole


async def test_voices_get_names_and_names_without_a_voice_a_warning():
    turns = (VoiceTurn(0.0, 1.0, 0), VoiceTurn(1.0, 2.0, 1))
    known = (KnownSpeaker("Ann", QUIET_VOICE), KnownSpeaker("Bob", (-1.0, 0.0)))
    found, warnings = await named(
        Diarization(turns, (LOUD_VOICE, QUIET_VOICE)), SpeakerOptions(known=known)
    )
    assert found == (SpeakerTurn(0.0, 1.0, Speaker(0)), SpeakerTurn(1.0, 2.0, Speaker(1, "Ann")))
    assert warnings == ("the voice of the known speaker 'Bob' is not heard in the audio",)


async def test_two_requests_share_one_thread_and_take_turns(make_transcriber):
    diarizer, times = FakeDiarizer(), [Timings(), Timings()]
    diarizer.gate.clear()
    transcriber = make_transcriber(FakeEngine(), diarizer=diarizer)
    sound = wav(dialogue(8.0))
    asking = [
        asyncio.create_task(transcriber.speakers(whole(sound), Options(), each)) for each in times
    ]
    await eventually(lambda: all(each.audio == 8.0 for each in times) and diarizer.threads)
    diarizer.gate.set()
    await asyncio.gather(*asking)
    assert len(diarizer.threads) == 1
    assert sorted(diarizer.order) == [0] * 8 + [1] * 8
    changes = sum(a != b for a, b in zip(diarizer.order, diarizer.order[1:], strict=False))
    assert changes >= 14


async def test_running_recordings_are_counted(make_transcriber):
    diarizer, timings = FakeDiarizer(), Timings()
    diarizer.gate.clear()
    transcriber = make_transcriber(FakeEngine(), diarizer=diarizer)
    registry = transcriber._setup.metrics.registry
    running = asyncio.create_task(
        transcriber.speakers(whole(wav(dialogue(3.0))), Options(), timings)
    )
    await eventually(lambda: timings.audio)
    assert registry.get_sample_value("asr_diarizations") == 1
    diarizer.gate.set()
    await running
    assert registry.get_sample_value("asr_diarizations") == 0


async def test_nothing_is_loaded_before_somebody_asks():
    loads = []

    def load():
        loads.append(1)
        return FakeDiarizer()

    means = DiarizationMeans(load, Metrics())
    assert loads == []
    await means.voice(dialogue(3.0))
    await means.load()
    assert loads == [1]
    means.close()


@pytest.mark.parametrize("asks", [False, True])
async def test_a_request_that_does_not_ask_loads_nothing(make_client, diarizer, asks):
    client = await make_client()
    transcriber = client.app[TRANSCRIBER]
    options = Options(speakers=SpeakerOptions() if asks else None)
    transcript, _ = await transcriber.transcribe(whole(wav(dialogue(1.0))), options)
    assert len(diarizer.begun) == int(asks)
    assert (transcript.turns is not None) == asks
