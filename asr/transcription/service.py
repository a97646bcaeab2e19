"""The transcription service: engine, scheduler, detector and transcriber, opened from settings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial

from asr.audio.decoder import Decoder
from asr.capabilities import EngineInfo
from asr.concurrency import run_in_daemon
from asr.config.config import Config
from asr.diarization import load as diarizer_load
from asr.diarization.diarizer import Diarizer
from asr.engines import load
from asr.engines.engine import Engine
from asr.metrics import Metrics
from asr.resources.memory_budget import MemoryBudget
from asr.transcription.diarizing.means import DiarizationMeans
from asr.transcription.languages import forced_language
from asr.transcription.policy import RequestPolicy
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup
from asr.transcription.transcriber import Transcriber
from asr.vad import select

log = logging.getLogger(__name__)

LoadEngine = Callable[[Config], Engine]
LoadDiarizer = Callable[[Config], Diarizer]


@dataclass(frozen=True)
class Service:
    """What transcribes, as long as it is open."""

    engine: Engine
    scheduler: Scheduler
    transcriber: Transcriber
    setup: TranscriptionSetup
    budget: MemoryBudget


@contextlib.asynccontextmanager
async def open_service(
    config: Config,
    metrics: Metrics,
    load_engine: LoadEngine = load.load,
    load_diarizer: LoadDiarizer = diarizer_load.load,
) -> AsyncIterator[Service]:
    """Load the engine and start the scheduler; both end with the context.

    Raises:
        ConfigError: the settings ask for what the model or the machine cannot do.
    """
    diarization = None
    if config.diarizer != "off":
        diarization = DiarizationMeans(partial(load_diarizer, config), metrics)
        if config.diarizer_preload:
            await diarization.load()
    engine = await run_in_daemon(lambda: load_engine(config))
    config = _fitted(config, engine.info)
    budget = MemoryBudget.of(config.max_memory_mb)  # less the model, which is loaded
    scheduler = Scheduler(
        engine, config.max_queue_seconds, metrics, budget.queue_seconds, config.jobs_share
    )
    decoders = min(config.decoders, budget.decoders)
    with contextlib.closing(Decoder(config.max_audio_seconds, decoders)) as decoder:
        setup = TranscriptionSetup(
            decoder=decoder,
            info=engine.info,
            metrics=metrics,
            window_seconds=config.chunk_length_s,
            stride_seconds=config.stride_length_s,
            diarization=diarization,
            policy=_policy(config, engine.info),
            detector=await asyncio.to_thread(select.choose, config.vad, engine.info.is_on_gpu),
        )
        with contextlib.closing(Transcriber(setup, scheduler)) as transcriber:
            scheduler.start()
            log.info("ready: %s on %s", engine.info.model_id, engine.info.hardware)
            log.info("memory for requests: %s", budget)
            try:
                yield Service(engine, scheduler, transcriber, setup, budget)
            finally:
                await scheduler.stop()


def _policy(config: Config, info: EngineInfo) -> RequestPolicy:
    language = forced_language(config.language_force, info)
    conditioned = config.condition_on_previous_text and info.can_prompt
    return RequestPolicy(language, config.timestamps, config.thresholds, conditioned)


def _fitted(config: Config, info: EngineInfo) -> Config:
    """The settings with windows that are not longer than the model's.

    Raises:
        ConfigError: the overlap leaves nothing of such windows.
    """
    longest = info.longest_window
    if config.chunk_length_s <= longest:
        return config
    if config.chunk_length_s != Config.chunk_length_s:  # set, not the default
        log.warning(
            "CHUNK_LENGTH_S=%g is more than %s transcribes at once: windows are %g s long",
            config.chunk_length_s,
            info.model_id,
            longest,
        )
    config = replace(config, chunk_length_s=longest)
    config.check()
    return config
