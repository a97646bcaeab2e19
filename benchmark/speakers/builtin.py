"""Load the server's own diarizer for `benchmark.speakers.worker`."""

from __future__ import annotations

import os

import torch

from asr.config.config import Config
from asr.diarization.diarizer import Diarizer

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def load() -> Diarizer:
    """Return the diarizer that `DIARIZER` names."""
    from asr.diarization.load import load as load_diarizer  # counted in the time to load

    return load_diarizer(Config.from_environment(os.environ))
