"""Settings that only the loaded model can judge stop the start as plainly as the others."""

import os
import subprocess
import sys

import pytest

from tests.conftest import PATIENCE_SECONDS, ROOT, free_port


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LANGUAGE_FORCE", "klingon", "configuration: LANGUAGE_FORCE='klingon'"),
        ("DEVICE", "cuda:99", "configuration: DEVICE='cuda:99'"),
        ("MAX_AUDIO_SECONDS", "1e308", "configuration: MAX_AUDIO_SECONDS='1e308'"),
        ("MODEL_ID", "a" * 5000, "configuration: MODEL_ID='aaa"),
    ],
)
def test_a_setting_that_the_model_or_the_machine_refuses_is_named(name, value, message, tmp_path):
    where = {"PORT": str(free_port()), "CACHE_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "server.py"],
        cwd=ROOT,
        env={**os.environ, "MODEL_ID": "demo", **where, name: value},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert ended.returncode == 1
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_model_that_does_not_transcribe_is_named(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"model_type": "bert", "architectures": ["BertForMaskedLM"]}'
    )
    ended = subprocess.run(
        [sys.executable, "server.py"],
        cwd=ROOT,
        env={**os.environ, "MODEL_ID": str(tmp_path), "PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    last = ended.stderr.splitlines()[-1]
    assert ended.returncode == 1
    assert last.startswith(f"configuration: MODEL_ID='{tmp_path}': {tmp_path}/config.json")
    assert "Traceback" not in ended.stderr
