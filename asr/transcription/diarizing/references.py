"""The voice in a reference recording of a known speaker."""

from __future__ import annotations

import contextlib

import numpy as np

from asr.audio.streams import Source
from asr.diarization.diarizer import Voice
from asr.errors import BadAudio, BadRequest, UnsupportedMedia
from asr.options import Options, SpeakerOptions
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcription.policy import check
from asr.transcription.setup import TranscriptionSetup

LEAST_SECONDS = 2.0  # A shorter reference is refused.
MOST_SECONDS = 10.0  # A longer one is refused: OpenAI's API takes none, either.
TOLERANCE_SECONDS = 0.15  # A codec may add, or take away, so many seconds.


async def reference_voice(setup: TranscriptionSetup, source: Source, name: str) -> Voice:
    """The voice in a reference.

    Args:
        name: of the field that it was sent in.

    Raises:
        BadRequest: it names the field, and the length where that is wrong.
        ServerError: the diarizer failed.
    """
    means = setup.diarization
    check(Options(speakers=SpeakerOptions()), setup.info, means is not None)
    assert means is not None
    try:
        samples = await _decoded(setup, source, name)
    except (BadAudio, UnsupportedMedia) as error:
        raise type(error)(f"{name}: {error.message}", name) from error
    voice = await means.voice(samples)
    if voice is None:
        raise BadRequest(f"{name}: nobody speaks in this reference: send one of a voice", name)
    return voice


async def _decoded(setup: TranscriptionSetup, source: Source, name: str) -> Samples:
    """The samples of a reference, [n]; no more are decoded than it may have."""
    blocks: list[Samples] = []
    seconds = 0.0
    decoded = setup.decoder.blocks(source)
    async with contextlib.aclosing(decoded):
        async for block in decoded:
            blocks.append(block)
            seconds += len(block) / SAMPLE_RATE
            if seconds > MOST_SECONDS + TOLERANCE_SECONDS:
                raise _refusal(name, f"more than {MOST_SECONDS:g} s")
    if seconds < LEAST_SECONDS - TOLERANCE_SECONDS:
        raise _refusal(name, f"{seconds:.1f} s")
    return np.concatenate(blocks)


def _refusal(name: str, length: str) -> BadRequest:
    return BadRequest(
        f"{name}: this reference lasts {length}: send one of {LEAST_SECONDS:g} to "
        f"{MOST_SECONDS:g} s",
        name,
    )
