"""Give the real tests a server with a real Whisper model, and real recordings.

`tests/README.md` describes the environment variables that name both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Server, start_server

# A server that downloads its model first is ready after at most so many seconds.
START_SECONDS = 1800

CACHE = ROOT / ".cache"  # A model from the hub is downloaded into this folder, and kept.


def named(variable: str, what: str) -> Path:
    """Return the path that the environment variable names, or skip the test."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"no {what}: set {variable}")
    path = Path(value).absolute()
    if not path.exists():
        pytest.fail(f"{variable}={value}: there is no such file or folder")
    return path


@pytest.fixture(scope="session")
def whisper_checkpoint() -> str:
    """Return the id or the absolute folder of the model that WHISPER_CHECKPOINT names."""
    name = os.environ["WHISPER_CHECKPOINT"]  # where it is unset, `real` tests are skipped
    return str(Path(name).absolute()) if Path(name).exists() else name


@pytest.fixture(scope="session")
def start_real_server(
    whisper_checkpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a server with the real model; its arguments are settings."""
    running: list[Server] = []
    cache = os.environ.get("CACHE_DIR", str(CACHE))

    def start(**settings: str) -> Server:
        log = tmp_path_factory.mktemp("real") / "log"
        real = {"MODEL_ID": whisper_checkpoint, "CACHE_DIR": cache, **settings}
        running.append(start_server(log, START_SECONDS, **real))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def real_server(start_real_server: Callable[..., Server]) -> Server:
    """Run one server with the real model and its default settings for all tests."""
    return start_real_server()


@pytest.fixture(scope="session")
def jfk() -> Path:
    """Return the recording of 11 s that openai/whisper tests itself with."""
    return named("JFK_RECORDING", "recording of J. F. Kennedy")


@pytest.fixture(scope="session")
def speech_folder() -> Path:
    """Return the folder of people's speech and of sounds that SPEECH_FOLDER names."""
    return named("SPEECH_FOLDER", "folder of speech")
