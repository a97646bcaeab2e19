"""What the connections of the Wyoming port share."""

from __future__ import annotations

from dataclasses import dataclass

from wyoming.event import Event

from asr.capabilities import EngineInfo
from asr.http.sources import BodyLimits
from asr.metrics import Metrics
from asr.resources.memory_budget import BodyMemory
from asr.transcription.scheduler import Scheduler
from asr.transcription.transcriber import Transcriber


@dataclass(frozen=True)
class ConnectionMeans:
    """What every connection of a server needs."""

    transcriber: Transcriber
    scheduler: Scheduler
    memory: BodyMemory
    metrics: Metrics
    engine: EngineInfo
    info: Event  # the answer to `describe`
    limits: BodyLimits  # of the audio of one recording
    idle_timeout_s: float
    send_timeout_s: float
