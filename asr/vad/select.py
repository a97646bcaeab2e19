"""Which detector of speech listens, by setting and by the pace of the engine."""

from __future__ import annotations

from asr.config_parsers import Vad
from asr.vad.detector import Detector
from asr.vad.energy import Energy
from asr.vad.silero import Silero


def choose(vad: Vad, is_on_gpu: bool) -> Detector | None:
    """The detector; None where nothing is to listen.

    A GPU hears a thousand seconds of audio in one: at that pace Silero, 0.7 ms for each on one
    core, would be what the GPU waits for.

    Raises:
        ConfigError: the detector that is asked for is not installed.
    """
    if vad == "off":
        return None
    if vad == "energy" or (vad == "auto" and is_on_gpu):
        return Detector(lambda _: Energy())
    return Detector(Silero.load().begin, has_threshold=True)
