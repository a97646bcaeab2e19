"""A start by stages, of a real process with the embedded model, and what it must not import."""

import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace

import pytest

import asr.startup
from asr.config.config import DEMO_MODEL
from asr.startup import StartupTimer, process_age
from tests.conftest import PATIENCE_SECONDS, ROOT, free_port

UNWANTED = {  # installed, and of no use to the Whisper engine: seconds of every start
    "asr.engines.pipeline.engine",
    "sympy",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.tensor",
    "transformers.modeling_utils",
    "transformers.pipelines",
}


@pytest.fixture(scope="module")
def log() -> str:
    """What a server with the embedded model writes until it is ready, each import included."""
    if not (DEMO_MODEL / "model.safetensors").exists():
        pytest.skip("the embedded model is missing")
    port = str(free_port())
    settings = {"MODEL_ID": "demo", "DEVICE": "cpu", "HOST": "127.0.0.1", "PORT": port}
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "server.py"],
        cwd=ROOT,
        env=os.environ | settings,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if " start: " in line:
            break
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, rest
    return "".join(lines)


def test_the_stages_are_reported_and_make_up_nearly_all_of_the_start(log):
    stages = re.search(
        r"INFO start: imports ([\d.]+) s, weights ([\d.]+) s, warm-up ([\d.]+) s, "
        r"ready after ([\d.]+) s$",
        log,
        re.MULTILINE,
    )
    assert stages is not None, log
    imports, weights, warm_up, ready = map(float, stages.groups())
    assert min(imports, weights, warm_up) > 0
    assert 0.7 * ready < imports + weights + warm_up <= ready + 0.02  # rounded


@pytest.mark.skipif(
    f"transformers=={version('transformers')}" not in (ROOT / "requirements.txt").read_text(),
    reason="other versions of transformers import what they like",
)
def test_a_start_imports_nothing_that_it_has_no_use_for(log):
    imported = set(re.findall(r"^import time:.*\| +(\S+)$", log, re.MULTILINE))
    assert {"torch", "asr.engines.whisper.engine"} <= imported
    assert not imported & UNWANTED


def test_a_stage_that_comes_twice_is_counted_together(monkeypatch):
    clock = iter([10.0, 11.0, 13.0, 20.0, 24.0, 30.0])
    monkeypatch.setattr(asr.startup, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    start = StartupTimer(age=2.0)
    for _ in range(2):
        with start.stage("weights"):
            pass
    assert str(start) == "imports 2.00 s, weights 6.00 s, ready after 22.00 s"


def test_a_process_knows_its_age():
    command = "import time; time.sleep(0.5); from asr.startup import process_age as a; print(a())"
    ended = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True)
    assert 0.4 < float(ended.stdout) < process_age()
