"""Audio of a microphone, through the package sounddevice where it is installed."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator
from typing import Any

import click

from asr.pcm import SAMPLE_RATE

PIECE_SECONDS = 0.1  # So much audio is handed on at a time.
HIGHEST_RATE = 48_000  # A live session takes no more samples per second.
MOST_PIECES = 600  # Of pieces that wait for longer than a minute, the microphone's audio is lost.


class NoMicrophone(click.ClickException):
    """Nothing records here."""

    exit_code = 1


class Microphone:
    """The default device, or the one of this name or number.

    Raises:
        NoMicrophone: sounddevice or a device is missing; says what to do.
    """

    def __init__(self, device: str | None = None) -> None:
        self._sound = _sounddevice()
        self._device = int(device) if device is not None and device.isdecimal() else device
        try:
            found = self._sound.query_devices(self._device, "input")
        except (ValueError, self._sound.PortAudioError) as error:
            raise NoMicrophone(
                f"no microphone can be used ({error}): connect one, or name a file; "
                "`python -m sounddevice` lists the devices"
            ) from error
        self.name = str(found["name"])
        self.rate = self._usable_rate(round(found["default_samplerate"]))

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Record until the generator is closed.

        Raises:
            NoMicrophone: it cannot be opened, or nobody takes what it records.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[bytes] = asyncio.Queue()

        def record(data: Any, *_: object) -> None:
            """Take what was recorded, in a thread of PortAudio."""
            loop.call_soon_threadsafe(waiting.put_nowait, bytes(data))

        try:
            stream = self._sound.RawInputStream(
                samplerate=self.rate,
                blocksize=round(PIECE_SECONDS * self.rate),
                device=self._device,
                channels=1,
                dtype="int16",
                callback=record,
            )
        except self._sound.PortAudioError as error:
            raise NoMicrophone(f"the microphone {self.name} cannot be opened: {error}") from error
        with stream:
            while True:
                yield await waiting.get()
                if waiting.qsize() > MOST_PIECES:
                    raise NoMicrophone("the microphone's audio is not taken as fast as it comes")

    def _usable_rate(self, usual: int) -> int:
        """A rate at which the device records: 16 kHz, or else one of its own."""
        for rate in (SAMPLE_RATE, min(usual, HIGHEST_RATE), HIGHEST_RATE, 44_100):
            try:
                self._sound.check_input_settings(self._device, 1, "int16", samplerate=rate)
            except self._sound.PortAudioError:
                continue
            return rate
        raise NoMicrophone(f"the microphone {self.name} records at no rate up to {HIGHEST_RATE} Hz")


def _sounddevice() -> Any:
    """The package, which is no requirement of the server."""
    try:
        return importlib.import_module("sounddevice")
    except ImportError as error:
        raise NoMicrophone(
            "the microphone needs the package sounddevice: `pip install sounddevice`; "
            "a file or `-` needs none"
        ) from error
    except OSError as error:  # the package is there, and the library that it drives is not
        raise NoMicrophone(
            f"the microphone needs PortAudio ({error}): `apt-get install libportaudio2`"
        ) from error
