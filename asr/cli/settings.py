"""The settings of a command that has the engine in its own process."""

from __future__ import annotations

import os
from dataclasses import replace

from asr.config.config import Config
from asr.resources import cpu
from asr.server import logs


def config_of(model: str | None, device: str | None, dtype: str | None) -> Config:
    """The settings of the environment with these, for one caller who has the whole engine.

    Raises:
        ConfigError: a setting cannot be used.
    """
    asked = {"MODEL_ID": model, "DEVICE": device, "DTYPE": dtype}
    environment = {**os.environ, **{name: value for name, value in asked.items() if value}}
    config = Config.from_environment(environment)
    logs.configure(config.log_level if "LOG_LEVEL" in environment else "WARNING")
    cpu.configure_openmp(os.environ)
    if not environment.get("MAX_AUDIO_SECONDS"):
        config = replace(config, max_audio_seconds=0.0)
    return replace(config, jobs_share=1.0)
