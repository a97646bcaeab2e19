"""Give the tests servers, clients of them, and the simplest sounds."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub.constants import ENDPOINT
from hypothesis import HealthCheck, settings

from asr.config.config import DEMO_MODEL, Config
from asr.server.app import create_app
from asr.vad.detector import Span
from tests.support.fake_diarizer import FakeDiarizer
from tests.support.fake_engine import FakeEngine

pytest_plugins = [
    "tests.support.checkpoints",
    "tests.support.clock",
    "tests.support.postgres",  # before those that import it
    "tests.support.job_stores",
    "tests.support.jobs",
    "tests.support.live",
    "tests.support.origin",
    "tests.support.realtime",
    "tests.support.receiver",
    "tests.support.schedulers",
    "tests.support.sounds",
    "tests.support.transcribers",
    "tests.support.wyoming",
]


ROOT = Path(__file__).resolve().parent.parent


RATE = 16_000  # Sounds have so many samples a second.


PATIENCE_SECONDS = 120  # A test waits at most so many seconds: a machine may be slow and busy.


# Each of them begins a block of ports, below those that systems give to outgoing connections.
PORTS = range(20_000, 32_000, 50)


# A busy machine fails no test; examples are drawn as by default, in CI the same ones each time.
settings.register_profile(
    "patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


settings.load_profile("patient")


def pytest_configure() -> None:
    """Let the servers of tests compute in float32, whatever is fastest on this machine."""
    os.environ.setdefault("DTYPE", "float32")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests whose hub, GPU or real model is absent, each with the reason."""
    absent = {}
    if "hub" not in config.getoption("-m"):
        absent["hub"] = pytest.mark.skip(reason="downloads models: run with -m hub")
    elif not answers(ENDPOINT):
        absent["hub"] = pytest.mark.skip(reason=f"no model hub answers at {ENDPOINT}")
    if not torch.cuda.is_available():
        absent["gpu"] = pytest.mark.skip(reason="no NVIDIA GPU")
    if not os.environ.get("WHISPER_CHECKPOINT"):
        absent["real"] = pytest.mark.skip(reason="no real model: set WHISPER_CHECKPOINT")
    for item in items:
        for name, skip in absent.items():
            if item.get_closest_marker(name):
                item.add_marker(skip)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


async def eventually(claim: Callable[[], object]) -> None:
    """Let the loop run until `claim` holds.

    Another thread makes it true, so that it can only be polled.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not claim():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class KnownSpeech:
    """Stands for a detector's result with speech at the given times."""

    def __init__(self, *spoken: tuple[float, float]) -> None:
        self._spoken = [Span(*times) for times in spoken]

    def push(self, samples: np.ndarray) -> None: ...

    def finish(self) -> None: ...

    def is_possible(self, start: float, end: float) -> bool:
        return bool(self.spans(start, end))

    def spans(self, start: float, end: float) -> list[Span]:
        cut = (Span(max(s.start, start), min(s.end, end)) for s in self._spoken)
        return [span for span in cut if span.end > span.start]

    def certainty(self, start: float, end: float) -> float | None:
        return float(self.is_possible(start, end))

    def voiced(self, start: float, end: float) -> list[Span]:
        return self.spans(start, end)


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    """Return a sine at half volume, [samples]."""
    time_axis = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time_axis)).astype(np.float32)


def wav(samples: np.ndarray, rate: int = RATE, **how: Any) -> bytes:
    """Return `samples`, [frames] or [frames, channels], as a WAV file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **how)
    return file.getvalue()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def diarizer() -> FakeDiarizer:
    return FakeDiarizer()


@pytest.fixture
def make_client(
    aiohttp_client: Any, engine: FakeEngine, diarizer: FakeDiarizer
) -> Callable[..., Any]:
    """Return a function that makes clients of an app with the fake engine and the fake diarizer.

    Its arguments are settings. VAD is off unless they set it: a tone is speech to the app.
    """

    async def make(**settings: Any) -> Any:
        config = Config(**{"vad": "off", **settings})
        return await aiohttp_client(
            create_app(config, lambda _: engine, load_diarizer=lambda _: diarizer)
        )

    return make


@pytest.fixture
async def client(make_client: Callable[..., Any]) -> Any:
    return await make_client()


@dataclass
class Server:
    """Runs a real server as a process."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    wyoming_port: int = 0  # where it has one

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


class Ports:
    """Gives ports that no other process of tests gives, however late they are opened.

    A process binds the first port of a block for as long as it lives, and gives the others.
    """

    def __init__(self) -> None:
        self._left = iter(range(0))

    def next(self) -> int:
        while (port := next(self._left, None)) is None:
            first = random.choice(PORTS)
            held = socket.socket()
            try:
                held.bind(("127.0.0.1", first))
            except OSError:  # of another process
                held.close()
                continue
            held.detach()  # open as long as the process lives
            self._left = iter(range(first + 1, first + PORTS.step))
        return port


_ports = Ports()


def free_port() -> int:
    """Return a free port that no other test is given."""
    while True:
        port = _ports.next()
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def start_server(log: Path, seconds: float = PATIENCE_SECONDS, **environment: str) -> Server:
    """Start `server.py` and wait until it is ready, at most `seconds`."""
    port = free_port()
    settings = {"MODEL_ID": "demo", "HOST": "127.0.0.1", "PORT": str(port), **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "server.py")],
            env={**os.environ, "CACHE_DIR": str(log.parent), **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    wyoming_port = int(settings.get("WYOMING_PORT", 0))
    server = Server(process, f"http://127.0.0.1:{port}", log, wyoming_port)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(server.url + "/hc", timeout=5).close()
            return server
        except OSError:
            time.sleep(0.1)  # polling another process: there is nothing to wait on
    server.stop()
    pytest.fail(f"the server did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def needs_demo_model() -> None:
    if not (DEMO_MODEL / "model.safetensors").exists():
        pytest.fail(f"the embedded model is missing: {DEMO_MODEL}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, needs_demo_model: None) -> Iterator[Server]:  # noqa: ARG001
    """Run one real server with the demo model for all tests."""
    running = start_server(
        tmp_path_factory.mktemp("server") / "log",
        ALLOW_PRIVATE_URLS="1",
        AUDIO_ROOT=str(DEMO_MODEL.parent / "samples"),
        WYOMING_PORT=str(free_port()),
    )
    yield running
    running.stop()
