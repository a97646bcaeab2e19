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
