"""Chooses the speech detector by the setting VAD and by the device."""

from __future__ import annotations

from asr.config.parsers import Vad
from asr.vad.detector import Detector
from asr.vad.energy import Energy
from asr.vad.silero import Silero


def choose(vad: Vad, is_on_gpu: bool) -> Detector | None:
    """Return the detector; None where VAD is off.

    A GPU transcribes a thousand seconds of audio in one second. Silero needs 0.7 ms on one core
    for each of them: the GPU would wait for it.

    Raises:
        ConfigError: the detector that is asked for is not installed.
    """
    if vad == "off":
        return None
    if vad == "energy" or (vad == "auto" and is_on_gpu):
        return Detector(lambda _: Energy())
    return Detector(Silero.load().begin, has_threshold=True)
