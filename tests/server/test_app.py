"""The app as a whole: nothing is shared, and settings are fitted to the model."""

from asr.config.config import Config
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
