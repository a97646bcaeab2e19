"""Transcribe audio: decode, cut, submit, join."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

from asr.audio.streams import Source
from asr.capabilities import ServerInfo
from asr.diarization.diarizer import Voice
from asr.engines.engine import WindowResult
from asr.errors import BadRequest
from asr.options import Options
from asr.segments import merged_parts
from asr.transcript import LanguageDetection, Transcript
from asr.transcription.diarizing.references import reference_voice
from asr.transcription.diarizing.run import SpeakerRun
from asr.transcription.policy import check
from asr.transcription.run import TranscriptionRun
from asr.transcription.scheduled_request import Timings
from asr.transcription.scheduler import Scheduler
from asr.transcription.setup import TranscriptionSetup
from asr.transcription.speakers import with_speakers


class Transcriber:
    """Turns audio into transcripts; knows neither HTTP nor the model."""

    def __init__(self, setup: TranscriptionSetup, scheduler: Scheduler) -> None:
        self._setup = setup
        self._scheduler = scheduler

    def close(self) -> None:
        self._setup.threads.close()
        if self._setup.diarization is not None:
            self._setup.diarization.close()

    @property
    def server_info(self) -> ServerInfo:
        return self._setup.server_info

    def check(self, options: Options) -> None:
        """Refuse options that cannot be honoured, before there is any audio.

        Raises:
            BadRequest: names the option and the remedy.
        """
        setup = self._setup
        check(setup.policy.apply(options), setup.info, setup.diarization is not None)

    async def transcribe(self, source: Source, options: Options) -> tuple[Transcript, Timings]:
        """Transcribe all of `source`.

        Raises:
            CallerError: the audio or the options cannot be used.
            ServerError: the engine or the far server failed.
        """
        timings = Timings()
        parts = [part async for part in self._parts(source, options, timings)]
        segments = tuple(segment for part in parts for segment in part.segments)
        transcript = replace(parts[-1], segments=segments)
        if options.speakers is not None:
            transcript = await asyncio.to_thread(with_speakers, transcript)
        return transcript, timings

    async def detect(self, source: Source, options: Options) -> LanguageDetection:
        """The language of the first window that may hold speech, among `options.languages`.

        No text is decoded, and nothing more of `source` is read.

        Raises:
            CallerError: the audio cannot be used, or the model knows no languages.
            ServerError: the engine or the far server failed.
        """
        info = self._setup.info
        if not info.languages:
            raise BadRequest(f"the model {info.model_id} does not detect languages")
        options = Options(
            languages=options.languages,
            timestamps="none",
            audio_track=options.audio_track,
            part=options.part,
            channels=options.channels,
        )
        check(options, info, has_diarizer=False)
        return await self._run(options, Timings()).detection(source)

    async def speakers(self, source: Source, options: Options, timings: Timings) -> Transcript:
        """Tell who speaks when in all of `source`; no text is decoded, no engine is used.

        Returns:
            A transcript with turns and without segments.

        Raises:
            CallerError: the audio or the options cannot be used.
            ServerError: the diarizer or the far server failed.
        """
        return await SpeakerRun(self._setup, self._scheduler, options, timings).transcript(source)

    async def voice(self, source: Source, name: str) -> Voice:
        """The voice in a reference recording of one person, 2 to 10 s long.

        Args:
            name: of the field that it was sent in.

        Raises:
            BadRequest: it names the field, and the length where that is wrong.
            ServerError: the diarizer failed.
        """
        return await reference_voice(self._setup, source, name)

    def parts(
        self, source: Source, options: Options, timings: Timings
    ) -> AsyncGenerator[Transcript]:
        """The transcript in parts, each as soon as nothing later can change it; at least one.

        Each part has the language known so far; the last one's duration is the whole audio's.
        Where it is asked who speaks, the last one has the turns, and no segment a speaker yet:
        `with_speakers` assigns them once all segments are joined.
        Nobody waits for the first words of a job, so its parts are whole windows.
        """
        streamed = replace(options, is_streamed=not options.is_job)
        return self._parts(source, streamed, timings)

    def _parts(
        self, source: Source, options: Options, timings: Timings
    ) -> AsyncGenerator[Transcript]:
        """The transcript in parts, its segments merged into sentences where that is asked."""
        parts, longest = self._run(options, timings).parts(source), options.segment_length
        return parts if longest is None else merged_parts(parts, longest, options.speakers is None)

    def results(
        self, source: Source, options: Options, timings: Timings
    ) -> AsyncGenerator[WindowResult]:
        """Each window's result, in the order of the audio, as soon as it is known."""
        return self._run(options, timings).results(source)

    def _run(self, options: Options, timings: Timings) -> TranscriptionRun:
        return TranscriptionRun(self._setup, self._scheduler, options, timings)
