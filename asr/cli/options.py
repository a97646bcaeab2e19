"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import ValidationError

from asr.api.fields import CHANNELS
from asr.cli.recordings import Format
from asr.options import Channels, Task, Timestamps
from asr.vocabulary import names_in

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


def _names(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """The text of names, checked."""
    try:
        names_in(text or "")
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return text


def _channels(context: click.Context, option: click.Parameter, value: str) -> Channels:
    """`mix`, `split`, or the number of a channel.

    Raises:
        click.BadParameter: it is none of these.
    """
    try:
        return CHANNELS.validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise click.BadParameter(f"{value!r} {reason}", context, option) from error


SERVER = click.option(
    "--server",
    envvar="ASR_SERVER",
    default="http://localhost:8000",
    show_default=True,
    help="URL of the server; also ASR_SERVER.",
)
API_KEY = click.option(
    "--api-key", envvar="ASR_API_KEY", help="Its key, if it needs one; also ASR_API_KEY."
)
JSON = click.option("--json", "is_json", is_flag=True, help="Print JSON, an object in each line.")
QUIET = click.option("--quiet", "is_quiet", is_flag=True, help="Show no progress.")
IDS = click.argument("ids", nargs=-1, required=True, metavar="ID...")
LANGUAGE = click.option("--language", help="Language that is spoken; without it, it is detected.")
LANGUAGES = click.option("--languages", help="Languages that may be detected, with commas.")
TASK = click.option(
    "--task",
    default="transcribe",
    type=click.Choice(get_args(Task)),
    show_default=True,
    help="`translate`: into English.",
)
PROMPT = click.option("--prompt", help="Text in the style of the audio, or names that occur in it.")
HOTWORDS = click.option(
    "--hotwords",
    callback=_names,
    help="Names and rare words that may be spoken, with commas between them.",
)
SPOKEN = (LANGUAGE, LANGUAGES, TASK, PROMPT, HOTWORDS)
TRANSCRIPTION = (
    LANGUAGE,
    LANGUAGES,
    TASK,
    click.option(
        "--timestamps",
        default="segment",
        type=click.Choice(get_args(Timestamps)),
        show_default=True,
        help="`word`: times of words, too, at which subtitles are divided.",
    ),
    PROMPT,
    HOTWORDS,
    click.option(
        "--segment-length",
        "segment_length_s",
        type=click.FloatRange(1, 30),
        help="Merge short segments into sentences of at most so many seconds.",
    ),
    click.option("--temperature", default=0.0, type=click.FloatRange(0, 1), show_default=True),
    click.option("--audio-track", type=click.IntRange(0), help="Track of a file, from 0."),
    click.option(
        "--channels",
        default="mix",
        callback=_channels,
        metavar="mix|split|N",
        show_default=True,
        help="`mix`; `split`: each by itself; or the number of one, from 0.",
    ),
)
ENGINE = (
    click.option("--model", help="As the setting MODEL_ID: an id on the hub, a path, or `demo`."),
    click.option("--device", help="As the setting DEVICE: `cpu`, `cuda`, `cuda:N` or `auto`."),
    click.option(
        "--dtype", help="As the setting DTYPE: `float32`, `float16`, `bfloat16`, `int8` or `auto`."
    ),
)
SPEAKERS = (
    click.option("--diarize", is_flag=True, help="Tell who speaks."),
    click.option("--num-speakers", type=click.IntRange(1), help="So many people speak."),
    click.option("--min-speakers", type=click.IntRange(1), help="At least so many speak."),
    click.option("--max-speakers", type=click.IntRange(1), help="At most so many speak."),
)


def output_options(formats: str, directory: str, default: Sequence[Format] = ()) -> Decorator:
    """Add in which formats results are written, and where; the texts are the options' help."""
    first = click.option(
        "-f",
        "--format",
        "formats",
        multiple=True,
        default=default,
        show_default=bool(default),
        type=click.Choice(get_args(Format)),
        help=formats,
    )
    second = click.option(
        "-o",
        "--output",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        help=directory,
    )
    return lambda command: first(second(command))


def server_options(command: Command) -> Command:
    """Add what every command that speaks to a server has."""
    return SERVER(API_KEY(JSON(command)))


def speaker_options(command: Command) -> Command:
    """Add how speakers are to be told apart."""
    return _all_of(SPEAKERS, command)


def transcription_options(command: Command) -> Command:
    """Add how audio is to be transcribed."""
    return _all_of(TRANSCRIPTION, command)


def spoken_options(command: Command) -> Command:
    """Add what is known of the speech, and what is to become of it."""
    return _all_of(SPOKEN, command)


def engine_options(command: Command) -> Command:
    """Add which model this process runs, and where."""
    return _all_of(ENGINE, command)


def _all_of(options: Sequence[Decorator], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
