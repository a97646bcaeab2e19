"""Settings that only the loaded model can judge stop the start as plainly as the others."""

import os
import subprocess
import sys

import pytest
from aiohttp import web

from asr.config.config import Config
from asr.errors import ConfigError
from asr.server.app import create_app
from tests.conftest import PATIENCE_SECONDS, ROOT, free_port


async def start(settings):
    """Start the service with the real engine; to load it in a process of its own takes longer."""
    runner = web.AppRunner(create_app(Config.from_environment(settings)))
    try:
        await runner.setup()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LANGUAGE_FORCE", "klingon", "LANGUAGE_FORCE='klingon'"),
        ("DEVICE", "cuda:99", "DEVICE='cuda:99'"),
        ("MAX_AUDIO_SECONDS", "1e308", "MAX_AUDIO_SECONDS='1e308'"),
        ("MODEL_ID", "a" * 5000, "MODEL_ID='aaa"),
    ],
)
async def test_a_setting_that_the_model_or_the_machine_refuses_is_named(
    name, value, message, tmp_path, capfd
):
    with pytest.raises(ConfigError) as refused:
        await start({"MODEL_ID": "demo", "CACHE_DIR": str(tmp_path), name: value})
    assert str(refused.value).startswith(message)
    assert "Traceback" not in capfd.readouterr().err


async def test_a_model_that_does_not_transcribe_is_named(tmp_path, capfd):
    (tmp_path / "config.json").write_text(
        '{"model_type": "bert", "architectures": ["BertForMaskedLM"]}'
    )
    with pytest.raises(ConfigError) as refused:
        await start({"MODEL_ID": str(tmp_path)})
    assert str(refused.value).startswith(f"MODEL_ID='{tmp_path}': {tmp_path}/config.json")
    assert "Traceback" not in capfd.readouterr().err


def test_a_refusal_while_the_model_is_loaded_ends_the_process_in_plain_words(tmp_path):
    where = {"PORT": str(free_port()), "CACHE_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "server.py"],
        cwd=ROOT,
        env={**os.environ, "MODEL_ID": "demo", **where, "LANGUAGE_FORCE": "klingon"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("configuration: LANGUAGE_FORCE='klingon'")
    assert "Traceback" not in ended.stderr
