"""What the engine and the server can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NO_CUDA = "CUDA is not available"  # the words of the X-GPU-Name header without a GPU


@dataclass(frozen=True)
class EngineInfo:
    """What the engine runs and what it can do, in words that may be shown to callers."""

    model_id: str
    engine: str  # "pipeline" or "whisper"
    device_name: str  # the GPU's name, or "CUDA is not available"
    hardware: str  # device, dtype and attention kernel, and why
    languages: Mapping[str, str] = field(default_factory=dict)  # code → English name, lower case
    can_translate: bool = False
    can_prompt: bool = False
    has_segments: bool = True  # whether the model itself times its segments
    has_words: bool = False  # whether `timestamps=word` can be honoured
    has_pieces: bool = False  # whether tokens come with their probabilities
    longest_window: float = 30.0  # seconds that the model can hear at once

    @property
    def is_on_gpu(self) -> bool:
        return self.device_name != NO_CUDA


@dataclass(frozen=True)
class ServerInfo:
    """What is done with audio before the engine has it."""

    finds_speech: bool = False
    has_threshold: bool = False  # that makes a sound speech
    cuts_at_pauses: bool = True  # or windows overlap
    forced_language: str | None = None  # heard whatever is asked
