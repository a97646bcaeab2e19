"""`python -m asr transcribe`: files in, text files out, without a server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from asr.capabilities import EngineInfo
from asr.cli.batch import Batch, FileResult
from asr.cli.options import (
    JSON,
    QUIET,
    engine_options,
    output_options,
    speaker_options,
    transcription_options,
)
from asr.cli.progress import AudioBar, say
from asr.cli.recordings import Format, Recording, find
from asr.cli.settings import config_of
from asr.config.config import Config
from asr.errors import BadRequest
from asr.metrics import Metrics
from asr.options import Channels, Options, SpeakerOptions, Task, Timestamps
from asr.transcription.languages import allowed_languages, language_code
from asr.transcription.policy import check
from asr.transcription.service import open_service
from asr.vocabulary import names_in


@dataclass(frozen=True)
class Wanted:
    """What the command was asked for."""

    paths: tuple[Path, ...]
    formats: tuple[Format, ...]
    directory: Path | None
    overwrite: bool
    is_json: bool
    is_quiet: bool
    language: str | None
    languages: str | None
    task: Task
    timestamps: Timestamps
    prompt: str | None
    hotwords: str | None
    segment_length_s: float | None
    temperature: float
    audio_track: int | None
    channels: Channels
    diarize: bool
    num_speakers: int | None
    min_speakers: int | None
    max_speakers: int | None

    @property
    def speakers(self) -> SpeakerOptions | None:
        numbers = (self.num_speakers, self.min_speakers, self.max_speakers)
        return SpeakerOptions(*numbers) if self.diarize or any(numbers) else None

    def options(self, info: EngineInfo, has_diarizer: bool) -> Options:
        """How to transcribe.

        Raises:
            click.UsageError: the model cannot do it.
        """
        try:
            allowed = [name for name in (self.languages or "").split(",") if name.strip()]
            options = Options(
                language=language_code(self.language, info),
                languages=allowed_languages(allowed, "languages", info),
                task=self.task,
                timestamps=self.timestamps,
                prompt=self.prompt,
                vocabulary=names_in(self.hotwords or ""),
                temperature=self.temperature,
                audio_track=self.audio_track,
                channels=self.channels,
                speakers=self.speakers,
                segment_length=self.segment_length_s,
            )
            check(options, info, has_diarizer)
        except BadRequest as error:
            raise click.UsageError(error.message) from error
        return options


@click.command("transcribe")
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, path_type=Path),
)
@output_options(
    "What is written; may be repeated.",
    "Directory for what is written; without it, each output lies beside its audio.",
    default=("text",),
)
@click.option("--overwrite", is_flag=True, help="Also transcribe what has been written before.")
@JSON
@QUIET
@transcription_options
@speaker_options
@engine_options
def transcribe_command(
    model: str | None, device: str | None, dtype: str | None, **given: Any
) -> int:
    """Transcribe files, and all audio in folders, in this process.

    What has been written before, and is newer than its audio, is left as it is: after Ctrl-C the
    same command goes on. Every file is written whole or not at all. All settings of the server
    (MODEL_ID, CACHE_DIR, DTYPE, VAD...) are read from the environment.
    """
    wanted = Wanted(**given)
    found = find(wanted.paths, wanted.formats, wanted.directory)
    todo = [each for each in found if wanted.overwrite or not each.is_done]
    kept = {each.audio for each in found} - {each.audio for each in todo}
    skipped = [FileResult(each.audio, "skipped") for each in found if each.audio in kept]
    for result in skipped:
        _report(result, wanted)
    results = (
        asyncio.run(_transcribed(wanted, config_of(model, device, dtype), todo)) if todo else []
    )
    failed = sum(result.status == "failed" for result in results)
    if not wanted.is_quiet:
        written = len(results) - failed
        say(f"{written} written, {len(skipped)} skipped, {failed} failed", err=True)
    return int(failed > 0)


async def _transcribed(
    wanted: Wanted, config: Config, todo: Sequence[Recording]
) -> list[FileResult]:
    """Transcribe what is to be done, and report each file as soon as it is."""
    if not wanted.is_quiet:
        say(f"loading the model {config.model_id}", err=True)
    results: list[FileResult] = []
    async with open_service(config, Metrics()) as service:
        has_diarizer = service.transcriber.server_info.has_diarizer
        batch = Batch(service, wanted.options(service.engine.info, has_diarizer))
        with AudioBar(shown=not wanted.is_quiet) as bar:
            async with contextlib.aclosing(batch.results(todo)) as coming:
                async for result in coming:
                    if result is not None:
                        results.append(result)
                        _report(result, wanted)
                    bar.show(f"{len(results)}/{len(todo)} files", batch.done, batch.total)
    return results


def _report(result: FileResult, wanted: Wanted) -> None:
    if wanted.is_json:
        shown = {name: value for name, value in asdict(result).items() if value not in (None, ())}
        say(json.dumps(shown, default=str, ensure_ascii=False))
        return
    for path in result.outputs:
        say(str(path))
    for warning in result.warnings:
        say(f"{result.file}: {warning}", err=True)
    if result.error is not None:
        say(f"{result.file}: {result.error}", err=True)
