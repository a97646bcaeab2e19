"""The engine that hears windows: its contract, and how one is loaded."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from asr.config import Config, ConfigError
from asr.errors import TranscriptionFailed
from asr.start import Start
from asr.transcript import EngineInfo
from asr.windows import Window, WindowResult

log = logging.getLogger(__name__)


class Engine(Protocol):
    """Hears windows of all callers; used by one thread only.

    `capacity` is how many windows it can hold at best, `free` how many it takes now. `step` takes
    in at most that many, advances everything it holds, and returns what is new: the finished
    windows' results and, where the engine can say it early, results that are not final and carry
    the language alone. `held` says how many windows are inside, `drop` lets one go unfinished. A
    failure of one window is a result with `error`; whatever `step` raises is the engine's end.
    `prepare` uses an idle moment for one piece of work that later steps will profit by, and says
    whether more of it is left; it is asked for only while nothing is inside.
    """

    @property
    def info(self) -> EngineInfo: ...

    @property
    def capacity(self) -> int: ...

    def free(self) -> int: ...

    def held(self) -> int: ...

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]: ...

    def drop(self, window: Window) -> None: ...

    def prepare(self) -> bool: ...


class Loaded(Engine, Protocol):
    """An engine that has not heard anything yet, whose first windows would take longer."""

    def warm_up(self) -> None: ...


def load(config: Config, start: Start | None = None) -> Engine:
    """Load the model of `config`, warmed and ready to hear; minutes where it is downloaded.

    Raises:
        ConfigError: the settings ask for what the model or the machine cannot do.
    """
    start = start or Start()
    try:
        loaded = _read(config, start)
        with start.stage("warm-up"):
            loaded.warm_up()
    except TranscriptionFailed as error:
        raise ConfigError(f"MODEL_ID={config.model_id!r} hears nothing: {error.message}") from error
    except RuntimeError as error:
        _refuse_without_memory(config, error)
        raise
    return loaded


def _refuse_without_memory(config: Config, error: RuntimeError) -> None:
    from asr.hub import first_line
    from asr.whisper.plan import lacks_memory

    if lacks_memory(error):
        asked = f"MODEL_ID={config.model_id!r} with DEVICE={config.device!r}"
        reason = f"{asked} takes more memory than is free: {first_line(error)}"
        raise ConfigError(reason) from error


def _read(config: Config, start: Start) -> Loaded:
    with start.stage("imports"):
        from asr import hub
    with start.stage("weights"):
        hub.check(config)
    try:
        return _load(config, start)
    except ConfigError:
        raise
    except (OSError, ValueError) as error:  # what libraries say to files that they cannot use
        log.debug("the model cannot be loaded", exc_info=True)
        raise ConfigError(
            f"MODEL_ID={config.model_id!r} cannot be loaded: {hub.first_line(error)} "
            "(LOG_LEVEL=DEBUG tells where)"
        ) from error


def _load(config: Config, start: Start) -> Loaded:
    # On a GPU torch would hand products of vectors (rotary positions) to Triton, which compiles at
    # the first one and cannot without a C compiler. It is read when torch is imported.
    os.environ.setdefault("TORCH_DISABLE_NATIVE_JIT", "1")
    with start.stage("imports"):
        from asr.whisper import checkpoint
    with start.stage("weights"):
        is_whisper = config.engine != "pipeline" and checkpoint.is_whisper(config)
    if is_whisper:
        return _load_whisper(config, start)
    if config.engine == "whisper":
        raise ConfigError(f"ENGINE='whisper' but {config.model_id} is no Whisper model")
    return _load_pipeline(config, start)


def _load_pipeline(config: Config, start: Start) -> Loaded:
    with start.stage("imports"):
        from asr import hardware, pipeline
    with start.stage("weights"):
        machine = hardware.Machine.probe(config.device)
        return pipeline.load(config, hardware.choose(config, machine))


def _load_whisper(config: Config, start: Start) -> Loaded:
    """The in-flight engine, whose attention is PyTorch's: FLASH_ATTENTION_2 has no say in it."""
    with start.stage("imports"):
        from asr import hardware
        from asr.whisper import engine
    if config.flash_attention_2:
        log.info("FLASH_ATTENTION_2=1 is for ENGINE=pipeline: PyTorch's SDPA holds that kernel")
    with start.stage("weights"):
        machine = hardware.Machine.probe(config.device)
        chosen = hardware.choose(replace(config, flash_attention_2=False), machine)
        where = (chosen.torch_device, chosen.dtype, chosen.device_name, chosen.reason)
        return engine.load(config, *where)
