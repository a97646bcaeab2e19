"""The app as a whole: nothing is shared, and settings are fitted to the model."""

import pytest
from aiohttp import web

from asr.config import Config
from asr.errors import ConfigError
from asr.server.app import create_app
from tests.conftest import tone, wav
from tests.support.fake_engine import FakeEngine


async def test_two_apps_share_nothing(aiohttp_client):
    engines = [FakeEngine(), FakeEngine()]
    apps = [create_app(Config(vad="off"), lambda _, engine=engine: engine) for engine in engines]
    clients = [await aiohttp_client(app) for app in apps]
    assert (await clients[0].post("/asr", data=wav(tone(1.0)))).status == 200
    assert [len(engine.steps) for engine in engines] == [1, 0]
    texts = [await (await client.get("/metrics")).text() for client in clients]
    assert ["asr_audio_seconds_total 1.0" in text for text in texts] == [True, False]


@pytest.mark.parametrize(("asked", "notices"), [(60.0, 1), (30.0, 0), (12.5, 0)])
async def test_a_window_longer_than_the_model_takes_is_reported(
    make_client, caplog, asked, notices
):
    await make_client(chunk_length_s=asked)
    texts = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert (
        texts == ["CHUNK_LENGTH_S=60 is more than fake hears at once: windows have 30 s"] * notices
    )


async def test_an_overlap_that_leaves_nothing_of_the_models_window_stops_the_start(engine):
    config = Config(chunk_length_s=60.0, stride_length_s=20.0)
    runner = web.AppRunner(create_app(config, lambda _: engine))
    with pytest.raises(ConfigError, match=r"STRIDE_LENGTH_S=20 overlaps .* CHUNK_LENGTH_S=30"):
        await runner.setup()
    await runner.cleanup()
