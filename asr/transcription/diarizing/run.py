"""One request that asks who speaks, and for no text: from its audio to the turns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator
from dataclasses import replace

from asr.audio.damage import Damage
from asr.audio.streams import Source
from asr.audio.tracks import part_of
from asr.options import Options, SpeakerOptions
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcript import Transcript
from asr.transcription.diarizing.means import named
from asr.transcription.diarizing.recording import BLOCK_SAMPLES, DiarizedRecording
from asr.transcription.policy import check
from asr.transcription.scheduled_request import ScheduledRequest, Timings
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup


class SpeakerRun:
    """Tells the speakers of one recording apart; it is admitted as others are, and uses no engine.

    A run is for one use of `transcript`.
    """

    def __init__(
        self, setup: TranscriptionSetup, scheduler: Scheduler, options: Options, timings: Timings
    ) -> None:
        self._setup = setup
        self._scheduler = scheduler
        self._options = replace(options, speakers=options.speakers or SpeakerOptions())
        self._timings = timings
        self._damage = Damage()

    async def transcript(self, source: Source) -> Transcript:
        """The turns of `source`, without segments.

        Raises:
            CallerError: the audio or the options cannot be used.
            ServerError: the diarizer or the far server failed.
        """
        options, means = self._options, self._setup.diarization
        check(Options(speakers=options.speakers), self._setup.info, means is not None)
        assert means is not None
        assert options.speakers is not None
        with self._scheduler.admit(options.is_job) as request:
            async with means.recording(options.speakers, request, self._timings) as recording:
                await self._push_all(source, request, recording)
                began = time.monotonic()
                diarization = await recording.finish()
                turns, unheard = await named(diarization, options.speakers)
                self._timings.diarization = time.monotonic() - began
        self._timings.done = self._timings.audio
        duration, warnings = round(self._timings.audio, 3), (*self._damage.warnings, *unheard)
        told = Transcript((), None, duration, warnings=warnings, turns=turns)
        return told if options.part is None else told.later(options.part.start)

    async def _push_all(
        self, source: Source, request: ScheduledRequest, recording: DiarizedRecording
    ) -> None:
        samples, most = 0, recording.most_samples(request.is_job)
        options = self._options
        decoded = self._setup.decoder.blocks(
            source, self._damage, options.audio_track, options.channels
        )
        blocks = part_of(decoded, options.part, self._damage)
        async with contextlib.aclosing(blocks):
            while (block := await self._next(blocks, request, recording)) is not None:
                samples += len(block)
                self._timings.audio = samples / SAMPLE_RATE
                self._timings.declared = self._damage.declared
                self._setup.metrics.audio_seconds.inc(len(block) / SAMPLE_RATE)
                recording.push(block)
                if samples > most:
                    request.lengthen(most + BLOCK_SAMPLES)
        recording.complete()
        request.complete()

    async def _next(
        self,
        blocks: AsyncGenerator[Samples],
        request: ScheduledRequest,
        recording: DiarizedRecording,
    ) -> Samples | None:
        """The next block, when there is room for it; None at the end."""
        await recording.room()
        await request.room(BLOCK_SAMPLES)
        began = time.monotonic()
        try:
            return await anext(blocks, None)
        finally:
            self._timings.decode += time.monotonic() - began
