"""Settings that only the loaded model can judge stop the start as plainly as the others."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LANGUAGE_FORCE", "klingon", "configuration: LANGUAGE_FORCE='klingon'"),
        ("DEVICE", "cuda:99", "configuration: DEVICE='cuda:99'"),
    ],
)
def test_a_setting_that_the_model_or_the_machine_refuses_is_named(name, value, told, tmp_path):
    settings = {"MODEL_ID": "demo", "PORT": "1", "CACHE_DIR": str(tmp_path), name: value}
    ended = subprocess.run(
        [sys.executable, "server.py"],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
