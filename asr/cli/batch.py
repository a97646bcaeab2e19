"""Transcribes many files in this process; several at once fill the engine's batch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal

import soundfile

from asr.api.asr_answer import formatted
from asr.cli.output import write_whole
from asr.cli.recordings import Recording
from asr.concurrency import end_tasks
from asr.errors import AsrError
from asr.options import Options
from asr.transcript import Transcript
from asr.transcription.scheduled_request import Timings
from asr.transcription.service import Service
from asr.transcription.speakers import with_speakers

Status = Literal["written", "skipped", "failed"]

REFRESH_SECONDS = 0.1  # The progress is looked at so often.


@dataclass(frozen=True)
class FileResult:
    """What became of one file."""

    file: Path
    status: Status
    outputs: tuple[Path, ...] = ()
    seconds: float | None = None  # of audio
    language: str | None = None  # code
    warnings: tuple[str, ...] = ()
    error: str | None = None


@dataclass
class Track:
    """How far one file is."""

    declared: float = 0.0  # seconds of audio by its header; 0: unknown
    timings: Timings = field(default_factory=Timings)
    ended: float | None = None  # seconds of audio, once it is done

    @property
    def total(self) -> float:
        return max(self.declared, self.timings.audio) if self.ended is None else self.ended

    @property
    def done(self) -> float:
        return min(self.timings.done, self.total) if self.ended is None else self.ended


class Batch:
    """Transcribes recordings with one service, as many at once as its engine takes."""

    def __init__(self, service: Service, options: Options) -> None:
        self._service = service
        self._options = replace(options, is_job=True)  # nobody waits for the first words
        self._tracks: list[Track] = []

    @property
    def done(self) -> float:
        """Seconds of audio that are done, of all recordings."""
        return sum(track.done for track in self._tracks)

    @property
    def total(self) -> float:
        """Seconds of audio, as far as they are known."""
        return sum(track.total for track in self._tracks)

    async def results(self, recordings: Sequence[Recording]) -> AsyncGenerator[FileResult | None]:
        """Each result as soon as it is there, and None whenever there may be progress."""
        self._tracks = [Track() for _ in recordings]
        waiting = iter(list(zip(recordings, self._tracks, strict=True)))
        results: asyncio.Queue[FileResult] = asyncio.Queue()
        at_once = min(self._service.engine.capacity, self._service.scheduler.most_jobs)
        work = [self._work(waiting, results) for _ in range(at_once)]
        tasks = [asyncio.create_task(each) for each in (self._measure(recordings), *work)]
        try:
            for _ in recordings:
                while (result := await _next(results)) is None:
                    _raise_failure(tasks)
                    yield None
                yield result
        finally:
            await end_tasks(*tasks)

    async def _work(
        self, waiting: Iterator[tuple[Recording, Track]], results: asyncio.Queue[FileResult]
    ) -> None:
        for recording, track in waiting:
            results.put_nowait(await self._result(recording, track))

    async def _result(self, recording: Recording, track: Track) -> FileResult:
        try:
            with recording.audio.open("rb") as file:
                transcript = await self._transcribed(file, track)
            await asyncio.to_thread(self._write, transcript, recording)
        except (AsrError, OSError) as error:
            track.ended = track.total
            return FileResult(recording.audio, "failed", error=str(error))
        track.ended = transcript.duration
        return FileResult(
            recording.audio,
            "written",
            tuple(recording.outputs.values()),
            transcript.duration,
            transcript.language,
            transcript.warnings,
        )

    async def _transcribed(self, file: BinaryIO, track: Track) -> Transcript:
        transcriber = self._service.transcriber
        coming = transcriber.parts(file, self._options, track.timings)
        async with contextlib.aclosing(coming):
            parts = [part async for part in coming]
        segments = tuple(segment for part in parts for segment in part.segments)
        transcript = replace(parts[-1], segments=segments)
        if self._options.speakers is None:
            return transcript
        return await asyncio.to_thread(with_speakers, transcript)

    def _write(self, transcript: Transcript, recording: Recording) -> None:
        info = self._service.engine.info
        for wanted, path in recording.outputs.items():
            _, text = formatted(transcript, wanted, self._options, info)
            write_whole(path, text)

    async def _measure(self, recordings: Sequence[Recording]) -> None:
        """Look up how long the recordings are, where their headers say it."""
        for recording, track in zip(recordings, self._tracks, strict=True):
            track.declared = await asyncio.to_thread(_declared_seconds, recording.audio)


async def _next(results: asyncio.Queue[FileResult]) -> FileResult | None:
    """The next result; None if there is none within a moment."""
    try:
        async with asyncio.timeout(REFRESH_SECONDS):
            return await results.get()
    except TimeoutError:
        return None


def _raise_failure(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


def _declared_seconds(audio: Path) -> float:
    try:
        return float(soundfile.info(str(audio)).duration)
    except (OSError, soundfile.SoundFileError):  # a format that it does not read, or no audio
        return 0.0
