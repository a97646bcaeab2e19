"""What a server tells speakers apart with: the diarizer, its thread, and the names of voices."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from asr.concurrency import ThreadPool
from asr.diarization.diarizer import Diarization, Diarizer, Voice
from asr.diarization.known import identify
from asr.errors import AsrError, DiarizationFailed
from asr.metrics import Metrics
from asr.options import SpeakerOptions
from asr.pcm import Samples
from asr.transcript import SpeakerTurn
from asr.transcription.diarizing.loading import LateDiarizer
from asr.transcription.diarizing.recording import DiarizedRecording
from asr.transcription.diarizing.worker import DiarizationWorker
from asr.transcription.scheduled_request import ScheduledRequest, Timings


class DiarizationMeans:
    """Tells the speakers of all requests apart, with one diarizer on one thread.

    Args:
        load: loads the diarizer.
    """

    def __init__(self, load: Callable[[], Diarizer], metrics: Metrics) -> None:
        self._diarizer = LateDiarizer(load)
        self._worker = DiarizationWorker(metrics)
        self._voices = ThreadPool(1, "voice")
        self._metrics = metrics

    def close(self) -> None:
        self._worker.close()
        self._voices.close()

    async def load(self) -> None:
        """Load the diarizer now.

        Raises:
            ConfigError: the settings name one that cannot be used.
        """
        await self._diarizer.load()

    @contextlib.asynccontextmanager
    async def recording(
        self, speakers: SpeakerOptions, request: ScheduledRequest, timings: Timings
    ) -> AsyncIterator[DiarizedRecording]:
        """A new recording, as long as the context is open.

        Raises:
            DiarizerUnavailable: the diarizer cannot be loaded.
        """
        diarizer = await self._diarizer.get()
        recording = DiarizedRecording(
            self._worker, diarizer, speakers, request, timings, self._metrics
        )
        with contextlib.closing(recording), self._metrics.diarizations.track_inprogress():
            yield recording

    async def voice(self, samples: Samples) -> Voice | None:
        """The voice in samples of one person, [n]; None: nobody speaks.

        Raises:
            ServerError: the diarizer failed or cannot be loaded.
        """
        diarizer = await self._diarizer.get()
        try:
            return await self._voices.run(diarizer.voice, samples)
        except AsrError:
            raise
        except Exception as error:  # the boundary of the diarizer
            raise DiarizationFailed(
                f"the diarizer failed on a reference of a voice: {type(error).__name__}"
            ) from error


async def named(
    diarization: Diarization, speakers: SpeakerOptions
) -> tuple[tuple[SpeakerTurn, ...], tuple[str, ...]]:
    """The turns, with the names of the voices that are known; and a warning for each name unheard.

    Hours of turns take a while, so that a thread does it.
    """
    turns, unheard = await asyncio.to_thread(identify, diarization, speakers.known)
    return turns, tuple(
        f"the voice of the known speaker {name!r} is not heard in the audio" for name in unheard
    )
