"""Choose the engine of a model and load it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TypeVar

from asr.config.config import Config
from asr.engines.engine import Engine, Loaded
from asr.engines.model_files import first_line
from asr.engines.model_layout import ModelSource
from asr.errors import AsrError, ConfigError
from asr.startup import StartupTimer

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def load(config: Config, start: StartupTimer | None = None) -> Engine:
    """Load the model of `config` and warm it up; this takes minutes where it is downloaded.

    Raises:
        ConfigError: the settings ask for what the model or the machine cannot do.
    """
    start = start or StartupTimer()
    loaded = _in_plain_words(config, "cannot be loaded", lambda: _read(config, start))
    with start.stage("warm-up"):
        _in_plain_words(config, "cannot transcribe a test window", loaded.warm_up)
    return loaded


def _in_plain_words(config: Config, failure: str, work: Callable[[], Result]) -> Result:
    """Do a part of the start; turn what the model's files cause into an error in plain words.

    They make libraries raise errors of any kind. A lost or unsuitable GPU is reported as it is.
    """
    try:
        return work()
    except ConfigError:
        raise
    except Exception as error:
        from asr.engines.memory import is_fatal, lacks_memory

        asked, reason = f"MODEL_ID={config.model_id!r}", first_line(error)
        if isinstance(error, RuntimeError) and lacks_memory(error):
            asked += f" with DEVICE={config.device!r}"
            raise ConfigError(f"{asked} needs more memory than is free: {reason}") from error
        if is_fatal(error):
            raise
        log.debug("the model %s", failure, exc_info=True)
        hint = "" if isinstance(error, AsrError) else " (LOG_LEVEL=DEBUG shows where)"
        raise ConfigError(f"{asked} {failure}: {reason}{hint}") from error


def _read(config: Config, start: StartupTimer) -> Loaded:
    with start.stage("imports"):
        from asr.engines import hub
    with start.stage("weights"):
        source = hub.locate(config)
    return _load(config, source, start)


def _load(config: Config, source: ModelSource, start: StartupTimer) -> Loaded:
    # On a GPU torch would hand products of vectors (rotary positions) to Triton, which compiles at
    # the first one and cannot without a C compiler. It is read when torch is imported.
    os.environ.setdefault("TORCH_DISABLE_NATIVE_JIT", "1")
    with start.stage("imports"):
        from asr.engines.whisper import checkpoint
    with start.stage("weights"):
        is_whisper = config.engine != "pipeline" and checkpoint.is_whisper(config, source)
    if is_whisper:
        return _load_whisper(config, source, start)
    if config.engine == "whisper":
        raise ConfigError(
            f"ENGINE='whisper' but {config.model_id} is not a Whisper model; use auto or pipeline"
        )
    return _load_pipeline(config, source, start)


def _load_pipeline(config: Config, source: ModelSource, start: StartupTimer) -> Loaded:
    with start.stage("imports"):
        from asr.engines import hardware
        from asr.engines.pipeline import engine
    with start.stage("weights"):
        machine = hardware.Machine.probe(config.device)
        return engine.load(config, hardware.choose(config, machine), source)


def _load_whisper(config: Config, source: ModelSource, start: StartupTimer) -> Loaded:
    with start.stage("imports"):
        from asr.engines import hardware
        from asr.engines.whisper import load as whisper
    if config.flash_attention_2:
        log.info(
            "FLASH_ATTENTION_2=1 has an effect only with ENGINE=pipeline: "
            "the Whisper engine uses PyTorch's SDPA, which includes that kernel"
        )
    with start.stage("weights"):
        return whisper.load(config, hardware.Machine.probe(config.device), source)
