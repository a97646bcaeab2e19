"""The diarizer is loaded once, by the first who asks, and again after a failure."""

import asyncio
import threading

import pytest

from asr.errors import ConfigError, DiarizerUnavailable
from asr.transcription.diarizing.loading import LateDiarizer
from tests.conftest import PATIENCE_SECONDS
from tests.support.fake_diarizer import FakeDiarizer


class Loader:
    def __init__(self) -> None:
        self.threads: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def __call__(self) -> FakeDiarizer:
        self.threads.append(threading.get_ident())
        assert self.gate.wait(PATIENCE_SECONDS)
        if self.error is not None:
            raise self.error
        return FakeDiarizer()


async def test_all_who_ask_at_once_wait_for_one_load_off_the_event_loop():
    loader = Loader()
    loader.gate.clear()
    late = LateDiarizer(loader)
    asking = [asyncio.create_task(late.get()) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()  # who leaves does not stop the load of the others
    loader.gate.set()
    first, second = await asyncio.gather(*asking[1:])
    assert first is second is await late.get()
    assert len(loader.threads) == 1
    assert threading.get_ident() not in loader.threads


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError("the weights are missing"), "cannot be loaded: the weights are missing"),
        (RuntimeError("private"), r"cannot be loaded \(RuntimeError\)"),
    ],
)
async def test_a_failed_load_says_so_and_is_tried_again(error, told):
    loader = Loader()
    loader.error = error
    late = LateDiarizer(loader)
    with pytest.raises(DiarizerUnavailable, match=told) as failure:
        await late.get()
    assert failure.value.status == 503
    assert "private" not in failure.value.message
    loader.error = None
    assert (await late.get()).name == "fake"
    assert len(loader.threads) == 2


async def test_at_the_start_a_failed_load_is_an_error_of_the_settings():
    loader = Loader()
    loader.error = ConfigError("DIARIZER=pyannote: pyannote.audio is not installed")
    with pytest.raises(ConfigError, match="not installed"):
        await LateDiarizer(loader).load()
