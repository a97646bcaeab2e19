"""Channels count as one where one is the other: louder, after lossy coding, in any blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.audio.decoder import Decoder
from asr.transcription.channels.likeness import Likeness
from asr.vad.detector import Span
from tests.conftest import RATE, ROOT
from tests.support.sounds import ffmpeg, stream

SECONDS = 3.0


def noise(seed: int, level: float = 0.1, seconds: float = SECONDS) -> np.ndarray:
    values = np.random.default_rng(seed).normal(0, level, round(seconds * RATE))
    return values.astype(np.float32)


def is_copy(*channels: np.ndarray, number: int = 1, speech: tuple[Span, ...] = ()) -> bool:
    likeness = Likeness(len(channels))
    likeness.push(np.stack(channels, axis=1))
    return likeness.is_copy(number, 0.0, SECONDS, speech)


@pytest.mark.parametrize("gain", [1.0, 0.5, 2.0, -1.0])
def test_a_copy_may_be_louder_quieter_or_the_negative(gain: float) -> None:
    voice = noise(0)
    assert is_copy(voice, np.float32(gain) * voice)


def test_a_difference_far_below_the_signal_is_the_work_of_a_codec() -> None:
    voice = noise(0)
    assert is_copy(voice, voice + noise(1, 0.01))  # -20 dB
    assert not is_copy(voice, voice + noise(1, 0.03))  # -10 dB


@pytest.mark.parametrize(
    "how", ["-b:a 32k -joint_stereo 0", "-c:a aac -b:a 48k", "-c:a libopus -b:a 48k"]
)
async def test_speech_whose_channels_are_coded_one_by_one_is_still_one_channel(
    decoder: Decoder, how: str
) -> None:
    sample = str(ROOT / "models/demo/samples/en-long.flac")
    doubled = ["-t", "10", "-i", sample, "-af", "pan=stereo|c0=c0|c1=0.9*c0"]
    data = ffmpeg(
        *doubled, "-ar", "48000" if "opus" in how else "24000", *how.split(), name="a.mka"
    )
    blocks = decoder.blocks(stream(data), channels="split")
    left, right = np.concatenate([block async for block in blocks])[: round(SECONDS * RATE)].T
    assert not np.array_equal(left, right)
    assert is_copy(left, right, speech=(Span(0.7, 3.0),))


def test_two_voices_are_no_copies_and_neither_is_a_voice_beside_silence() -> None:
    assert not is_copy(noise(0), noise(1))
    assert not is_copy(noise(0), 0 * noise(0))
    assert not is_copy(0 * noise(0), noise(0))
    assert not is_copy(0 * noise(0), 0 * noise(0))  # nothing is said there, and nothing is known


def test_two_microphones_before_one_voice_are_two_channels() -> None:
    voice = noise(0)
    assert not is_copy(voice, np.roll(voice, 16))  # 1 ms


def test_an_echo_of_the_other_channel_is_no_copy() -> None:
    voice = noise(0)
    assert not is_copy(voice, np.float32(0.1) * voice)


def test_what_only_the_later_channel_says_makes_it_no_copy_however_short_or_quiet() -> None:
    voice = noise(0)
    louder = voice.copy()
    louder[RATE : RATE + RATE // 5] += noise(1, 0.1, 0.2)
    assert not is_copy(voice, louder)
    paused = voice.copy()
    paused[RATE : 2 * RATE] = 0
    answer = paused.copy()
    answer[RATE : 2 * RATE] = noise(1, 0.001, 1.0)  # 40 dB below
    assert is_copy(paused, answer)
    assert not is_copy(paused, answer, speech=(Span(1.2, 1.8),))


def test_each_channel_is_compared_with_all_before_it() -> None:
    first, second = noise(0), noise(1)
    assert is_copy(first, second, second, number=2)
    assert is_copy(first, second, first, number=2)
    assert not is_copy(first, second, noise(2), number=2)
    assert not is_copy(first, first, number=0)


def stretches(first: np.ndarray, second: np.ndarray, *speech: Span) -> list[tuple[float, float]]:
    likeness = Likeness(2)
    likeness.push(np.stack([first, second], axis=1))
    found = likeness.copied_stretches(1, 0.0, len(first) / RATE, speech)
    return [(round(span.start, 2), round(span.end, 2)) for span in found]


def parting(*equal: tuple[float, float], quiet: tuple[float, ...] = ()) -> list[np.ndarray]:
    """Twenty seconds of two channels that are equal between these times, and quiet for 0.1 s."""
    first, second = noise(0, seconds=20.0), noise(1, seconds=20.0)
    for begin, end in equal:
        second[round(begin * RATE) : round(end * RATE)] = first[
            round(begin * RATE) : round(end * RATE)
        ]
    for moment in quiet:
        for channel in (first, second):
            channel[round(moment * RATE) : round((moment + 0.1) * RATE)] *= np.float32(0.1)
    return [first, second]


def test_a_stretch_that_is_equal_ends_in_the_quietest_moment_of_its_last_second() -> None:
    assert stretches(*parting((0.0, 12.0), quiet=(11.3,))) == [(0.0, 11.35)]
    assert stretches(*parting((12.0, 20.0), quiet=(12.6,))) == [(12.65, 20.0)]
    assert stretches(*parting((5.0, 10.0), quiet=(5.5, 9.7))) == [(5.55, 9.75)]


def test_a_short_stretch_stays_and_of_many_the_longest_two_are_told() -> None:
    assert stretches(*parting((5.0, 7.5))) == []
    assert stretches(*parting()) == []
    quiet = (3.5, 7.4, 11.9, 15.4, 19.8)
    found = stretches(*parting((0.0, 4.0), (7.0, 12.0), (15.0, 20.0), quiet=quiet))
    assert found == [(7.45, 11.95), (15.45, 20.0)]


@settings(max_examples=20)
@given(st.lists(st.integers(1, 20_000), max_size=6))
def test_blocks_of_any_length_give_the_same(sizes: list[int]) -> None:
    both = np.stack([noise(0), noise(0) + noise(1, 0.012)], axis=1)
    likeness = Likeness(2)
    for block in np.split(both, np.minimum(np.cumsum(sizes), len(both))):
        likeness.push(block)
    whole = Likeness(2)
    whole.push(both)
    assert len(likeness._products) == len(whole._products) == 30
    assert np.allclose(likeness._products, whole._products)


def test_what_is_forgotten_takes_no_memory_and_the_rest_is_where_it_was() -> None:
    likeness = Likeness(2)
    for minute in range(10):
        voice = noise(minute)
        likeness.push(np.stack([voice, voice if minute == 9 else noise(minute + 20)], axis=1))
        likeness.forget(3.0 * minute)
        assert len(likeness._products) <= 31
    assert likeness.is_copy(1, 27.0, 30.0, ())
    likeness.forget(0.0)  # again: nothing comes back
    assert likeness.is_copy(1, 27.0, 30.0, ())
