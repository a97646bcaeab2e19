"""Every container and codec comes out as the same sound, streamed and from a file."""

from __future__ import annotations

import numpy as np
import pytest

from asr.audio.decoder import Decoder
from asr.errors import BadAudio
from asr.pcm import SAMPLE_RATE
from tests.support.sounds import (
    FILMS,
    FORMATS,
    SILENT_FILMS,
    assert_is_the_sweep,
    decoded,
    encoded,
    on_disk,
    stream,
)


@pytest.mark.parametrize("name", [*FORMATS, *FILMS])
async def test_a_format_is_the_same_sound_streamed_and_from_a_file(
    decoder: Decoder, name: str
) -> None:
    data = encoded(name)
    streamed = await decoded(decoder, stream(data))
    assert_is_the_sweep(streamed)
    with on_disk(data) as file:
        from_file = await decoded(decoder, file)
    assert_is_the_sweep(from_file)
    assert abs(len(from_file) - len(streamed)) <= 0.05 * SAMPLE_RATE
    whole = await decoded(decoder, stream(data, len(data)))
    assert np.array_equal(whole, streamed)


@pytest.mark.parametrize("name", SILENT_FILMS)
async def test_a_film_without_sound_is_refused_by_its_reason(decoder: Decoder, name: str) -> None:
    with on_disk(encoded(name)) as file:
        for source in (stream(encoded(name)), file):
            with pytest.raises(BadAudio, match="no audio stream"):
                await decoded(decoder, source)
