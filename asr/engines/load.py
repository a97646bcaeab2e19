"""Choose the engine of a model and load it."""

from __future__ import annotations

import logging
import os
from dataclasses import replace

from asr.config import Config
from asr.engines.engine import Engine, Loaded
from asr.errors import ConfigError, TranscriptionFailed
from asr.startup import StartupTimer

log = logging.getLogger(__name__)


def load(config: Config, start: StartupTimer | None = None) -> Engine:
    """Load the model of `config` and warm it up; this takes minutes where it is downloaded.

    Raises:
        ConfigError: the settings ask for what the model or the machine cannot do.
    """
    start = start or StartupTimer()
    try:
        loaded = _read(config, start)
        with start.stage("warm-up"):
            loaded.warm_up()
    except TranscriptionFailed as error:
        reason = f"MODEL_ID={config.model_id!r} cannot transcribe a test window: {error.message}"
        raise ConfigError(reason) from error
    except RuntimeError as error:
        _refuse_without_memory(config, error)
        raise
    return loaded


def _refuse_without_memory(config: Config, error: RuntimeError) -> None:
    from asr.engines.hub import first_line
    from asr.engines.memory import lacks_memory

    if lacks_memory(error):
        asked = f"MODEL_ID={config.model_id!r} with DEVICE={config.device!r}"
        reason = f"{asked} needs more memory than is free: {first_line(error)}"
        raise ConfigError(reason) from error


def _read(config: Config, start: StartupTimer) -> Loaded:
    with start.stage("imports"):
        from asr.engines import hub
    with start.stage("weights"):
        hub.check(config)
    try:
        return _load(config, start)
    except ConfigError:
        raise
    except (OSError, ValueError) as error:  # Libraries raise these for files they cannot use.
        log.debug("the model cannot be loaded", exc_info=True)
        raise ConfigError(
            f"MODEL_ID={config.model_id!r} cannot be loaded: {hub.first_line(error)} "
            "(LOG_LEVEL=DEBUG shows where)"
        ) from error


def _load(config: Config, start: StartupTimer) -> Loaded:
    # On a GPU torch would hand products of vectors (rotary positions) to Triton, which compiles at
    # the first one and cannot without a C compiler. It is read when torch is imported.
    os.environ.setdefault("TORCH_DISABLE_NATIVE_JIT", "1")
    with start.stage("imports"):
        from asr.engines.whisper import checkpoint
    with start.stage("weights"):
        is_whisper = config.engine != "pipeline" and checkpoint.is_whisper(config)
    if is_whisper:
        return _load_whisper(config, start)
    if config.engine == "whisper":
        raise ConfigError(
            f"ENGINE='whisper' but {config.model_id} is not a Whisper model; use auto or pipeline"
        )
    return _load_pipeline(config, start)


def _load_pipeline(config: Config, start: StartupTimer) -> Loaded:
    with start.stage("imports"):
        from asr.engines import hardware
        from asr.engines.pipeline import engine
    with start.stage("weights"):
        machine = hardware.Machine.probe(config.device)
        return engine.load(config, hardware.choose(config, machine))


def _load_whisper(config: Config, start: StartupTimer) -> Loaded:
    """Load the Whisper engine; FLASH_ATTENTION_2 has no effect on its attention."""
    with start.stage("imports"):
        from asr.engines import hardware
        from asr.engines.whisper import load as whisper
    if config.flash_attention_2:
        log.info(
            "FLASH_ATTENTION_2=1 has an effect only with ENGINE=pipeline: "
            "the Whisper engine uses PyTorch's SDPA, which includes that kernel"
        )
    with start.stage("weights"):
        machine = hardware.Machine.probe(config.device)
        chosen = hardware.choose(replace(config, flash_attention_2=False), machine)
        return whisper.load(config, chosen)
