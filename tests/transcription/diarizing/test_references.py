"""A reference gives the voice of one person; another one is refused by the name of its field."""

import pytest

from asr.errors import BadAudio, BadRequest, DiarizationFailed
from tests.conftest import tone, wav
from tests.support.fake_diarizer import LOUD_VOICE, QUIET_VOICE, FakeDiarizer
from tests.support.fake_engine import FakeEngine
from tests.support.transcribers import whole

NAME = "known_speaker_references[1]"


@pytest.mark.parametrize("seconds", [2.0, 3.5, 10.0])
async def test_a_reference_gives_a_voice(make_transcriber, seconds):
    transcriber = make_transcriber(FakeEngine(), diarizer=FakeDiarizer())
    assert await transcriber.voice(whole(wav(tone(seconds))), NAME) == LOUD_VOICE
    assert await transcriber.voice(whole(wav(0.1 * tone(seconds))), NAME) == QUIET_VOICE


@pytest.mark.parametrize(
    ("seconds", "told"), [(1.5, "lasts 1.5 s"), (60.0, "lasts more than 10 s")]
)
async def test_a_reference_of_another_length_is_refused(make_transcriber, seconds, told):
    transcriber = make_transcriber(FakeEngine(), diarizer=FakeDiarizer())
    with pytest.raises(BadRequest, match=f"{told}: send one of 2 to 10 s") as error:
        await transcriber.voice(whole(wav(tone(seconds))), NAME)
    assert error.value.message.startswith(f"{NAME}: ")
    assert error.value.param == NAME


async def test_a_reference_without_a_voice_is_refused(make_transcriber):
    transcriber = make_transcriber(FakeEngine(), diarizer=FakeDiarizer())
    with pytest.raises(BadRequest, match="nobody speaks"):
        await transcriber.voice(whole(wav(0.0 * tone(3.0))), NAME)


async def test_a_reference_that_is_no_audio_is_refused_by_its_name(make_transcriber):
    transcriber = make_transcriber(FakeEngine(), diarizer=FakeDiarizer())
    with pytest.raises(BadAudio) as error:
        await transcriber.voice(whole(b"no audio" * 1000), NAME)
    assert error.value.message.startswith(f"{NAME}: ")


async def test_a_failure_of_the_diarizer_is_the_servers(make_transcriber):
    transcriber = make_transcriber(FakeEngine(), diarizer=FakeDiarizer(failing="voice"))
    with pytest.raises(DiarizationFailed) as error:
        await transcriber.voice(whole(wav(tone(3.0))), NAME)
    assert error.value.status == 500


async def test_a_server_without_a_diarizer_refuses_references(make_transcriber):
    with pytest.raises(BadRequest, match="DIARIZER=off"):
        await make_transcriber(FakeEngine()).voice(whole(wav(tone(3.0))), NAME)
