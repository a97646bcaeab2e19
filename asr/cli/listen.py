"""`python -m asr listen`: speech in, text while it is spoken."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

from asr.cli.app import INTERRUPTED
from asr.cli.live import course, remote
from asr.cli.live.course import LocalSession, PcmSession, TextOutput
from asr.cli.live.interruption import Interruption
from asr.cli.live.lines import EventLines, UtteranceLines
from asr.cli.live.microphone import Microphone
from asr.cli.live.pcm_input import AHEAD_SECONDS, FileInput, PcmInput, RealTimePace, StandardInput
from asr.cli.live.screen import Screen
from asr.cli.options import API_KEY, QUIET, engine_options, spoken_options
from asr.cli.settings import config_of
from asr.config.config import Config
from asr.errors import AsrError, BadRequest
from asr.live.options import LiveAudio, LiveOptions
from asr.live.sessions import LiveSessions
from asr.metrics import Metrics
from asr.options import Options, Task
from asr.pcm import SAMPLE_RATE
from asr.transcription.languages import allowed_languages, language_code
from asr.transcription.service import Service, open_service
from asr.vocabulary import names_in

STDIN = "-"  # The name of standard input.
LONGEST_SECONDS = 30 * 86_400.0  # A session in this process ends by itself after a month.
DUMB = {"", "dumb"}  # Terminals of these names cannot move their cursor.


@dataclass(frozen=True)
class Asked:
    """What the command was asked for."""

    file: str | None
    rate: int
    microphone: str | None
    is_fast: bool
    is_json: bool
    has_times: bool
    is_quiet: bool
    language: str | None
    languages: str | None
    task: Task
    prompt: str | None
    hotwords: str | None
    server: str | None
    api_key: str | None
    model: str | None
    device: str | None
    dtype: str | None

    @property
    def allowed(self) -> tuple[str, ...]:
        """The languages that may be detected, as they were named."""
        return tuple(name.strip() for name in (self.languages or "").split(",") if name.strip())

    @property
    def options(self) -> Options:
        """How to transcribe; languages are as they were named."""
        return Options(
            self.language,
            self.allowed,
            task=self.task,
            prompt=self.prompt,
            vocabulary=names_in(self.hotwords or ""),
        )


@click.command("listen")
@click.argument("file", required=False, metavar="[FILE]")
@click.option(
    "--rate",
    default=SAMPLE_RATE,
    type=click.IntRange(8_000, 48_000),
    show_default=True,
    help="Samples per second of standard input.",
)
@click.option("--microphone", help="Its name or number; without it, the system's default one.")
@click.option("--fast", "is_fast", is_flag=True, help="Do not wait for the time a file lasts.")
@click.option("--json", "is_json", is_flag=True, help="Print each event as JSON, in a line.")
@click.option(
    "--timestamps", "has_times", is_flag=True, help="Print when each utterance begins before it."
)
@QUIET
@spoken_options
@click.option("--server", help="URL of a server that transcribes; without it, this process does.")
@API_KEY
@engine_options
def listen_command(**given: object) -> int:
    """Print what is said while it is said: into the microphone, or in FILE.

    FILE is any audio, and played as fast as it was spoken; `-` is raw 16-bit PCM of one channel on
    standard input, as `arecord -t raw -f S16_LE -r 16000` writes it. In a terminal, words that may
    still change are dim; elsewhere each utterance is a line. Ctrl-C ends the audio, and what was
    said is still transcribed; a second Ctrl-C ends the command.
    """
    asked = Asked(**given)  # type: ignore[arg-type]
    _check(asked)
    output = _output(asked)
    try:
        return asyncio.run(_listen(asked, _input(asked), output))
    except asyncio.CancelledError as error:  # the second Ctrl-C
        raise click.Abort from error
    except AsrError as error:
        raise click.ClickException(f"{asked.file or 'microphone'}: {error.message}") from error


async def _listen(asked: Asked, audio: PcmInput, output: TextOutput) -> int:
    with Interruption() as interruption:
        async with _session(asked, audio.rate, output) as session:
            if not asked.is_quiet:
                output.say(_began(audio))
            failed = await course.run(session, audio.pieces(), output, interruption)
    if interruption.has_come and not isinstance(audio, Microphone):
        return INTERRUPTED
    return int(failed > 0)


@contextlib.asynccontextmanager
async def _session(asked: Asked, rate: int, output: TextOutput) -> AsyncIterator[PcmSession]:
    if asked.server is not None:
        async with remote.opened(asked.server, asked.api_key, rate, asked.options) as far:
            yield far
        return
    config = config_of(asked.model, asked.device, asked.dtype)
    if not asked.is_quiet:
        output.say(f"loading the model {config.model_id}")
    async with _local(asked, rate, config) as session:
        yield session


@contextlib.asynccontextmanager
async def _local(asked: Asked, rate: int, config: Config) -> AsyncIterator[PcmSession]:
    async with open_service(config, Metrics()) as service:
        sessions = LiveSessions(service.setup, service.scheduler, 1, LONGEST_SECONDS)
        try:
            options = LiveOptions(LiveAudio("pcm", rate), options=_options(asked, service))
            session = sessions.open(options)
        except BadRequest as error:
            raise click.UsageError(error.message) from error
        async with session:
            yield LocalSession(session, rate)


def _options(asked: Asked, service: Service) -> Options:
    info = service.engine.info
    return replace(
        asked.options,
        language=language_code(asked.language, info),
        languages=allowed_languages(asked.allowed, "languages", info),
    )


def _check(asked: Asked) -> None:
    """Refuse options that contradict each other.

    Raises:
        click.UsageError: names them, and the remedy.
    """
    own = {"--model": asked.model, "--device": asked.device, "--dtype": asked.dtype}
    named = [name for name, value in own.items() if value]
    if asked.server is not None and named:
        raise click.UsageError(f"{named[0]} is for this process: leave it or --server out")
    if asked.is_fast and (asked.server is not None or asked.file is None):
        raise click.UsageError(
            "--fast is for a file that this process transcribes: a server takes audio as fast as "
            "it is spoken"
        )
    if asked.file not in (None, STDIN) and not Path(asked.file or "").is_file():
        raise click.UsageError(f"there is no file {asked.file!r}")


def _input(asked: Asked) -> PcmInput:
    if asked.file is None:
        return Microphone(asked.microphone)
    if asked.file == STDIN:
        pace = None if asked.is_fast else RealTimePace(AHEAD_SECONDS)
        return StandardInput(asked.rate, pace, sys.stdin.buffer)
    return FileInput(Path(asked.file), None if asked.is_fast else RealTimePace())


def _output(asked: Asked) -> TextOutput:
    if asked.is_json:
        return EventLines(click.echo, _warn)
    if sys.stdout.isatty() and os.environ.get("TERM", "") not in DUMB:
        return Screen(_put, _warn, asked.has_times)
    return UtteranceLines(click.echo, _warn, asked.has_times)


def _put(text: str) -> None:
    click.echo(text, nl=False, color=True)


def _warn(line: str) -> None:
    click.echo(line, err=True)


def _began(audio: PcmInput) -> str:
    if isinstance(audio, Microphone):
        return f"listening to {audio.name}: Ctrl-C ends"
    return "listening: Ctrl-C ends"
