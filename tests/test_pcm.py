"""Channels are mixed so that none cancels another, and ordinary stereo as it always was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.pcm import SAMPLE_RATE, ChannelMixer, ChannelResampler, Resampler, plain_mix
from tests.conftest import RATE, tone
from tests.support.sounds import sweep

SECONDS = 3.0


def noise(seed: int, seconds: float = SECONDS) -> np.ndarray:
    values = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))
    return values.astype(np.float32)


def mixed(frames: np.ndarray, *sizes: int) -> np.ndarray:
    """Mix [frames, channels] in pieces of these sizes, and the rest at once."""
    mixer, parts, place = ChannelMixer(RATE), [], 0
    for size in sizes:
        parts.append(mixer.push(frames[place : place + size], False))
        place += size
    return np.concatenate([*parts, mixer.push(frames[place:], True)])


def integers(frames: np.ndarray) -> np.ndarray:
    return np.rint(frames * 32_767).astype(np.int16)


ORDINARY = {
    "both the same": np.stack([sweep(), sweep()], axis=1),
    "one side alone": np.stack([sweep(), 0 * sweep()], axis=1),
    "one side louder": np.stack([sweep(), 0.3 * sweep()], axis=1),
    "a little echo of the other sign": np.stack([sweep(), -0.2 * sweep()], axis=1),
    "two voices": np.stack([sweep(), noise(1)], axis=1),
    "two microphones apart": np.stack([noise(3), 0.8 * np.roll(noise(3), 9)], axis=1) + 1e-3,
    "noise alone": np.stack([noise(1), noise(2)], axis=1),
    "silence": np.zeros((RATE, 2), np.float32),
    "a faint hiss of opposite signs": 3e-5 * np.stack([noise(1), -noise(1)], axis=1),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_stereo_is_the_mean_of_its_channels_bit_for_bit(name: str) -> None:
    frames = ORDINARY[name]
    assert np.array_equal(mixed(frames, 5000), plain_mix(frames))
    assert np.array_equal(mixed(integers(frames), 5000), plain_mix(integers(frames)))


@pytest.mark.parametrize("share", [1.0, 0.8, 0.5])
def test_a_channel_with_the_wrong_sign_cancels_nothing(share: float) -> None:
    frames = np.stack([sweep(), -share * sweep()], axis=1)
    expected = sweep() * (1 + share) / 2
    assert np.abs(mixed(frames) - expected)[RATE // 50 :].max() < 1e-6
    assert np.abs(mixed(integers(frames)) - expected)[RATE // 50 :].max() < 1e-4


def test_a_constant_in_both_channels_does_not_hide_what_opposes() -> None:
    frames = np.stack([0.1 * sweep() + 0.4, -0.1 * sweep() + 0.4], axis=1)
    found = mixed(frames)[RATE // 50 :]
    assert np.abs(found - 0.1 * sweep()[RATE // 50 :]).max() < 1e-6


@pytest.mark.parametrize(
    "signs", [(1, -1, 1), (1, 1, -1, -1), (-1, 1, 1, 1, 1, 1), (1, -1, 1, -1, 1, -1, 1, -1)]
)
def test_of_many_channels_none_cancels_another(signs: tuple[int, ...]) -> None:
    sound = sweep()
    frames = np.stack([sign * (1 - 0.01 * i) * sound for i, sign in enumerate(signs)], axis=1)
    mixer = ChannelMixer(RATE, plain=lambda frames: frames.mean(axis=1))
    found = mixer.push(frames, True)[RATE // 50 :]
    assert abs(found @ sound[RATE // 50 :]) > 0.9 * (sound @ sound)


def test_the_sign_changes_where_the_channels_change_and_without_a_click() -> None:
    sound = tone(2 * SECONDS)
    right = sound.copy()
    right[2 * RATE : 4 * RATE] *= -1
    found = mixed(np.stack([sound, right], axis=1))
    steps = np.abs(np.diff(found))
    assert steps.max() < 1.5 * np.abs(np.diff(sound)).max()
    loud = np.abs(found[: 12 * (RATE // 2)]).reshape(-1, RATE // 10).max(axis=1)
    assert np.sum(loud < 0.45) <= 2  # only where one mix gives way to the other


def test_channels_that_hardly_agree_keep_the_sign_they_had() -> None:
    opposed = np.stack([sweep(), -sweep()], axis=1)
    apart = np.stack([noise(1), noise(2)], axis=1)
    found = mixed(np.concatenate([opposed, apart, opposed]))
    start = len(sweep())
    expected = (apart[:, 0] - apart[:, 1]) / 2
    assert np.abs(found[start : start + len(apart)] - expected).max() < 1e-6
    assert np.abs(mixed(np.concatenate([apart, opposed]))[:start] - plain_mix(apart)).max() == 0


def test_a_hop_is_judged_alike_beside_any_other() -> None:
    """Channels that oppose each other but for the samples that are looked at first."""
    hidden = np.where(np.arange(RATE) % 8 < 2, 0, noise(0)[:RATE])
    faint = 0.01 * noise(1)[:RATE]
    opposed = noise(2)[:RATE]
    frames = np.float32(np.stack([[hidden + faint, faint - hidden], [opposed, -opposed]]))
    frames = frames.transpose(0, 2, 1).reshape(-1, 2)
    whole = ChannelMixer(RATE).push(frames, True)
    mixer = ChannelMixer(RATE)
    parts = [mixer.push(frames[:RATE], False), mixer.push(frames[RATE:], True)]
    assert np.array_equal(np.concatenate(parts), whole)


@settings(max_examples=25)
@given(sizes=st.lists(st.integers(1, 20_000), max_size=12), seed=st.integers(0, 99))
def test_pieces_of_any_size_are_mixed_alike(sizes: list[int], seed: int) -> None:
    signs = np.random.default_rng(seed).choice([-1.0, 1.0, 0.0], 6).repeat(RATE // 2)
    sound = noise(seed)
    for frames in (
        np.stack([sound, np.float32(signs) * sound + 0.1 * noise(seed + 1)], axis=1),
        np.stack([sound, np.float32(signs) * sound, noise(seed + 1)], axis=1),
    ):
        mean = {"plain": lambda frames: frames.mean(axis=1)} if frames.shape[1] > 2 else {}
        whole = ChannelMixer(RATE, **mean).push(frames, True)
        mixer, parts, place = ChannelMixer(RATE, **mean), [], 0
        for size in sizes:
            parts.append(mixer.push(frames[place : place + size], False))
            place += size
        parts.append(mixer.push(frames[place:], True))
        assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_every_rate_gives_all_of_a_recording(rate: int) -> None:
    sound = sweep(SECONDS, rate)
    resampler = Resampler(rate)
    parts = [
        resampler.push(part, False) for part in np.array_split(np.stack([sound, -sound], 1), 7)
    ]
    if resampler.holds_back:
        parts.append(resampler.push(np.zeros((0, 2), np.float32), True))
    found = np.concatenate(parts)
    assert abs(len(found) - SECONDS * RATE) <= 2
    assert np.abs(found[: 2 * RATE] - sweep()[: 2 * RATE])[RATE // 10 :].max() < 0.02


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_channels_stay_apart_and_none_is_moved_against_another(
    rate: int, dtype: type[np.float32 | np.int16]
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * rate)
    frames = np.stack([noise, 0 * noise, noise], axis=1)
    sound = (frames * 32_768).astype(np.int16) if dtype is np.int16 else frames.astype(dtype)
    resampler = ChannelResampler(rate, 3)
    blocks = [resampler.push(sound[:777].copy(), False), resampler.push(sound[777:].copy(), True)]
    found = np.concatenate(blocks)
    assert found.shape == (2 * SAMPLE_RATE, 3)
    assert np.array_equal(found[:, 0], found[:, 2])
    assert np.max(np.abs(found[:, 1])) < 1e-6
    assert found[:, 0].std() > 0.03
