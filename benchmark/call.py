"""Make a call of two recordings, a channel each, and transcribe it mixed and split.

    MODEL_ID=openai/whisper-base python -m benchmark.call LEFT.flac RIGHT.flac --late 2

The second voice begins `--late` seconds after the first one: both speak at once. The call is a
file in a new temporary folder, whose name is printed, or the one that `--output` names.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path

import click
import numpy as np
import soundfile

from asr.audio.decoder import Decoder
from asr.cli.settings import config_of
from asr.metrics import Metrics
from asr.options import Channels, Options
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcript import Transcript
from asr.transcription.service import open_service

FILE = "call.flac"
CHOICES: tuple[Channels, ...] = ("mix", "split")


def joined(left: Samples, right: Samples, late: float) -> Samples:
    """Return [samples, 2], in which the right voice begins so many seconds after the left one."""
    begins = round(late * SAMPLE_RATE)
    call = np.zeros((max(len(left), begins + len(right)), 2), np.float32)
    call[: len(left), 0] = left
    call[begins : begins + len(right), 1] = right
    return call


async def decoded(decoder: Decoder, path: Path) -> Samples:
    with path.open("rb") as file:
        async with contextlib.aclosing(decoder.blocks(file)) as blocks:
            return np.concatenate([block async for block in blocks])


async def transcribed(call: Path) -> list[tuple[Channels, Transcript]]:
    """The call as one, and each channel by itself."""
    found = []
    async with open_service(config_of(None, None, None), Metrics()) as service:
        for channels in CHOICES:
            with call.open("rb") as file:
                options = Options(channels=channels)
                transcript, _ = await service.transcriber.transcribe(file, options)
            found.append((channels, transcript))
    return found


def shown(transcript: Transcript) -> str:
    """A line for each segment: its channel, its times and its text."""
    return "\n".join(
        f"{'' if each.channel is None else each.channel:>2} {each.start:6.2f} {each.end:6.2f} "
        f"{each.text.strip()}"
        for each in transcript.segments
    )


async def run(left: Path, right: Path, late: float, call: Path) -> None:
    with contextlib.closing(Decoder(0, 2)) as decoder:
        sound = joined(await decoded(decoder, left), await decoded(decoder, right), late)
    soundfile.write(call, sound, SAMPLE_RATE)
    click.echo(f"{call}: {len(sound) / SAMPLE_RATE:.1f} s, two channels")
    for channels, transcript in await transcribed(call):
        languages = transcript.channel_languages or (transcript.language,)
        click.echo(f"\nchannels={channels}, languages: {', '.join(map(str, languages))}")
        click.echo(shown(transcript))


@click.command()
@click.argument("left", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("right", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--late", default=2.0, type=click.FloatRange(0, 3600), show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of the call, such as call.flac; unset: one in a new temporary folder.",
)
def main(left: Path, right: Path, late: float, output: Path | None) -> None:
    """Make a call of two recordings, and transcribe it mixed and split."""
    asyncio.run(run(left, right, late, output or Path(tempfile.mkdtemp(prefix="call-"), FILE)))


if __name__ == "__main__":
    main()
