"""The service fits its settings to the model that it has loaded."""

import pytest
from aiohttp import web

from asr.config.config import Config
from asr.errors import ConfigError
from asr.server.app import create_app


@pytest.mark.parametrize(("asked", "notices"), [(60.0, 1), (30.0, 0), (12.5, 0)])
async def test_a_window_longer_than_the_model_takes_is_reported(
    make_client, caplog, asked, notices
):
    await make_client(chunk_length_s=asked)
    texts = [record.message for record in caplog.records if record.levelname == "WARNING"]
    notice = "CHUNK_LENGTH_S=60 is more than fake transcribes at once: windows are 30 s long"
    assert texts == [notice] * notices


async def test_an_overlap_that_leaves_nothing_of_the_models_window_stops_the_start(engine):
    config = Config(chunk_length_s=60.0, stride_length_s=20.0)
    runner = web.AppRunner(create_app(config, lambda _: engine))
    with pytest.raises(ConfigError, match=r"STRIDE_LENGTH_S=20 is too long for CHUNK_LENGTH_S=30"):
        await runner.setup()
    await runner.cleanup()
