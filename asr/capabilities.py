"""Capabilities of the engine and of the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NO_CUDA = "CUDA is not available"  # The header X-GPU-Name says this where there is no GPU.


@dataclass(frozen=True)
class EngineInfo:
    """What the engine runs and what it can do, in words that callers may see."""

    model_id: str
    engine: str  # "pipeline" or "whisper"
    device_name: str  # the GPU's name, or "CUDA is not available"
    hardware: str  # device, dtype and attention kernel, and why
    languages: Mapping[str, str] = field(default_factory=dict)  # code → English name, lower case
    can_translate: bool = False
    can_prompt: bool = False
    can_prefix: bool = False  # whether a text can go on after words that are known
    has_segments: bool = True  # whether the model itself gives times to segments
    has_words: bool = False  # whether `timestamps=word` works
    has_logprobs: bool = False  # whether tokens come with their logprobs
    longest_window: float = 30.0  # seconds that the model takes at once
    checkpoint: str = "Transformers"  # the layout of the model's files, and their number format

    @property
    def is_on_gpu(self) -> bool:
        return self.device_name != NO_CUDA


@dataclass(frozen=True)
class ServerInfo:
    """What the server does with audio before the engine gets it."""

    finds_speech: bool = False  # whether VAD is on
    has_threshold: bool = False  # whether its threshold is a probability that can be set
    cuts_at_pauses: bool = True  # False: windows overlap instead
    forced_language: str | None = None  # used whatever a request says
    has_diarizer: bool = False  # whether speakers are told apart on request
