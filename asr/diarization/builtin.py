"""The built-in diarizer: segmentation-3.0 and CAM++, with weights in this repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from asr.diarization.campplus import CamPlusPlus
from asr.diarization.diarizer import Voice
from asr.diarization.processors import OneCore, keep_freed_memory
from asr.diarization.segmentation import WINDOW_SAMPLES, Segmentation
from asr.diarization.session import BuiltinSession, Networks
from asr.diarization.stretches import features_of
from asr.options import SpeakerOptions
from asr.pcm import Samples

WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "speakers" / "weights"
LEAST_FRAMES = 50  # A recording with less speech than so many frames, 0.5 s, is nobody's.


class BuiltinDiarizer:
    """Tells speakers apart on a CPU or a GPU; needs 40 MB, and 10 MB for each session."""

    name = "builtin"

    def __init__(self, device: torch.device) -> None:
        keep_freed_memory()
        self._networks = Networks(
            Segmentation.load(WEIGHTS / "segmentation.safetensors", device),
            CamPlusPlus.load(WEIGHTS / "campplus.safetensors", device),
            OneCore(),
        )

    def begin(self, speakers: SpeakerOptions) -> BuiltinSession:
        """Begin a recording in which as many people speak as `speakers` allows."""
        return BuiltinSession(self._networks, speakers)

    def voice(self, samples: Samples) -> Voice | None:
        """The voice in the first ten seconds of a recording of one person; None: nobody's."""
        window = np.zeros(WINDOW_SAMPLES, np.float32)
        window[: len(samples)] = samples[:WINDOW_SAMPLES]
        with self._networks.one_core.limit():
            [classes] = self._networks.segmentation.classes([window])
            frames = features_of(classes > 0)
            if len(frames) < LEAST_FRAMES:
                return None
            return tuple(self._networks.voice(window, frames).tolist())
