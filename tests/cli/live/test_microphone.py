"""The microphone speaks sounddevice, which a small module stands in for here."""

import contextlib
import sys
import threading
import types

import pytest

from asr.cli.live.microphone import Microphone, NoMicrophone


class Device(types.ModuleType):
    """What the command uses of sounddevice: one device, which records what it is given."""

    class PortAudioError(Exception):
        pass

    def __init__(self, rates=(16_000, 44_100, 48_000), usual=48_000.0):
        super().__init__("sounddevice")
        self.rates, self.usual = rates, usual
        self.streams = []

    def query_devices(self, device=None, kind=None):
        assert kind == "input"
        if device not in (None, 1, "USB"):
            raise ValueError(f"No input device matching {device!r}")
        return {"name": "Desk", "default_samplerate": self.usual}

    def check_input_settings(self, device=None, channels=None, dtype=None, *, samplerate=None):
        self.query_devices(device, "input")
        assert (channels, dtype) == (1, "int16")
        if samplerate not in self.rates:
            raise self.PortAudioError("Invalid sample rate [PaErrorCode -9997]")

    def RawInputStream(self, **given):  # noqa: N802
        @contextlib.contextmanager
        def stream():
            self.streams.append(given)
            data = bytearray(2 * given["blocksize"])  # one buffer for all, as PortAudio's
            recorded = threading.Event()

            def record():
                for number in range(3):
                    data[:2] = bytes([number, 0])
                    given["callback"](memoryview(data), given["blocksize"], None, None)
                recorded.set()

            threading.Thread(target=record).start()
            recorded.wait()
            try:
                yield
            finally:
                self.streams.append("closed")

        return stream()


@pytest.fixture
def device(monkeypatch):
    module = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


async def test_what_is_recorded_in_another_thread_comes_in_order_until_it_is_closed(device):
    microphone = Microphone()
    async with contextlib.aclosing(microphone.pieces()) as pieces:
        heard = [await anext(pieces) for _ in range(3)]
    assert [(piece[0], len(piece)) for piece in heard] == [(0, 3200), (1, 3200), (2, 3200)]
    assert (microphone.name, microphone.rate) == ("Desk", 16_000)
    assert device.streams[0]["samplerate"] == 16_000
    assert device.streams[-1] == "closed"


@pytest.mark.parametrize(
    ("rates", "usual", "expected"),
    [({44_100}, 44_100.0, 44_100), ({48_000, 96_000}, 96_000.0, 48_000), ({44_100}, 192e3, 44_100)],
)
def test_a_device_that_does_not_record_16_khz_has_a_rate_of_its_own(device, rates, usual, expected):
    device.rates, device.usual = rates, usual
    assert Microphone().rate == expected


def test_a_device_without_a_usable_rate_is_named(device):
    device.rates = {96_000}
    with pytest.raises(NoMicrophone, match="Desk records at no rate up to 48000 Hz"):
        Microphone()


@pytest.mark.usefixtures("device")
def test_a_device_is_chosen_by_number_or_name_and_another_one_is_none():
    assert Microphone("1").name == Microphone("USB").name == "Desk"
    with pytest.raises(NoMicrophone, match=r"no microphone can be used \(No input device matching"):
        Microphone("2")


@pytest.mark.parametrize(
    ("failure", "remedy"),
    [
        (ModuleNotFoundError("No module named 'sounddevice'"), "`pip install sounddevice`"),
        (OSError("PortAudio library not found"), "`apt-get install libportaudio2`"),
    ],
)
def test_what_is_not_installed_is_named_with_its_command(monkeypatch, failure, remedy):
    def missing(_):
        raise failure

    monkeypatch.setattr("asr.cli.live.microphone.importlib.import_module", missing)
    with pytest.raises(NoMicrophone, match=remedy):
        Microphone()


@pytest.mark.usefixtures("device")
async def test_a_microphone_that_nobody_takes_from_ends(monkeypatch):
    monkeypatch.setattr("asr.cli.live.microphone.MOST_PIECES", 1)
    with pytest.raises(NoMicrophone, match="not taken as fast as it comes"):
        async for _ in Microphone().pieces():
            pass


async def test_a_device_that_is_busy_is_named(device, monkeypatch):
    def busy(**_):
        raise device.PortAudioError("Device unavailable [PaErrorCode -9985]")

    monkeypatch.setattr(device, "RawInputStream", busy)
    with pytest.raises(NoMicrophone, match="Desk cannot be opened: Device unavailable"):
        await anext(Microphone().pieces())
