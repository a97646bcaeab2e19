"""Load the diarizer that the settings name."""

from __future__ import annotations

from asr.config.config import Config
from asr.diarization.diarizer import Diarizer
from asr.errors import ConfigError


def load(config: Config) -> Diarizer:
    """Load the diarizer of `config`; torch and the backend are imported here.

    Raises:
        ConfigError: there is none, or it cannot be loaded.
    """
    if config.diarizer == "off":
        raise ConfigError("DIARIZER='off': there is no diarizer to load")
    if config.diarizer == "pyannote":
        from asr.diarization import pyannote

        return pyannote.open_pipeline(config)
    return _load_builtin(config)


def _load_builtin(config: Config) -> Diarizer:
    from asr.diarization import builtin
    from asr.diarization.processors import device_of

    try:
        return builtin.BuiltinDiarizer(device_of(config))
    except OSError as error:
        raise ConfigError(f"DIARIZER='builtin' lacks its weights: {error}") from error
