"""libespeak-ng through ctypes: text to samples with word and phoneme events."""

import _ctypes
import ctypes
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import numpy as np
import numpy.typing as npt

ESPEAK_RATE = 22_050  # samples per second, as espeak-ng speaks
SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS
PHONEME_EVENTS = 1  # option bit 0 of espeak_Initialize
UTF8 = 1  # espeakCHARS_UTF8
WORD_EVENT = 1
PHONEME_EVENT = 7
RATE, PITCH, PITCH_RANGE = 1, 3, 4  # espeak_PARAMETER


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Speech:
    """What espeak-ng said: samples at 22.05 kHz and where its events lie in them."""

    samples: npt.NDArray[np.int16]
    words: tuple[tuple[int, int], ...]  # (first character from 0, sample)
    phonemes: tuple[tuple[str, int], ...]  # (name, sample)


class Espeak:
    """One espeak-ng library, loaded anew; there is one at a time in a process.

    The library keeps global state, its random numbers included, which nothing resets but loading
    it again: what a new one says depends on nothing that was said before.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(Path(espeakng_loader.get_data_path()).parent).encode()
        rate = self._library.espeak_Initialize(SYNCHRONOUS, 0, data, PHONEME_EVENTS)
        if rate != ESPEAK_RATE:
            raise RuntimeError(f"espeak-ng did not start with its data in {data!r}: {rate}")
        self._callback = _CALLBACK(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)
        self._voice = ""
        self._blocks: list[npt.NDArray[np.int16]] = []
        self._words: list[tuple[int, int]] = []
        self._phonemes: list[tuple[str, int]] = []

    def close(self) -> None:
        """Unload the library."""
        self._library.espeak_Terminate()
        _ctypes.dlclose(self._library._handle)

    def say(self, text: str, voice: str, rate: int, pitch: int, pitch_range: int) -> Speech:
        """Speak text with a voice file such as `gmw/en-US+f3`; rate in words per minute."""
        self._choose(voice)
        for parameter, value in ((RATE, rate), (PITCH, pitch), (PITCH_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._blocks, self._words, self._phonemes = [], [], []
        encoded = text.encode()
        failed = self._library.espeak_Synth(
            encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, UTF8, None, None
        )
        if failed or not self._blocks:
            raise RuntimeError(f"espeak-ng cannot say {text!r} with {voice}")
        return Speech(np.concatenate(self._blocks), tuple(self._words), tuple(self._phonemes))

    def has_voice(self, voice: str) -> bool:
        """Whether the voice file loads; espeak-ng ignores a variant that it does not know."""
        self._voice = ""
        return bool(self._library.espeak_SetVoiceByName(voice.encode()) == 0)

    def _choose(self, voice: str) -> None:
        if voice == self._voice:
            return
        if not self.has_voice(voice):
            raise ValueError(f"espeak-ng has no voice {voice}")
        self._voice = voice

    def _receive(
        self,
        samples: "ctypes._Pointer[ctypes.c_short]",
        count: int,
        event: "ctypes._Pointer[_Event]",
    ) -> int:
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while event[index].type:
            current = event[index]
            if current.type == WORD_EVENT:
                self._words.append((current.text_position - 1, current.sample))
            elif current.type == PHONEME_EVENT:
                name = current.id.string.decode("utf-8", "replace")
                self._phonemes.append((name, current.sample))
            index += 1
        return 0
