"""Frames that stand for their neighbours in the padding give what all of them give."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from asr.engines.whisper.model import byte_rows, forward, int8, onednn
from asr.engines.whisper.model.features import log_mel
from asr.engines.whisper.model.kept_frames import MARGIN, KeptFrames
from tests.support import models
from tests.support.models import noise, recording, written
from tests.support.twins import Twins

FRAMES = 100  # of these models' windows, which last 2 s


@pytest.mark.parametrize("every", [100, 1499, 1500])
@pytest.mark.parametrize("audio", [0, 1, 39, 40, 75, 76, 250, 1475, 1500])
def test_kept_frames_stand_for_all(audio: int, every: int) -> None:
    audio = min(audio, every)
    kept = KeptFrames.of(audio, every)
    counts = kept.log_counts.exp().round().int()
    assert len(kept.places) == len(counts) == kept.count <= every
    assert int(counts.sum()) == every
    assert torch.equal(kept.places[: kept.first], torch.arange(kept.first))
    assert kept.first >= min(audio + MARGIN, every)
    ends = counts.cumsum(0)
    assert (kept.places < ends).all()
    assert (kept.places >= ends - counts).all()
    assert kept.is_whole == (kept.count == every)


@torch.inference_mode()
@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("by_onednn", [False, True])
def test_where_padding_is_all_the_same_nothing_is_lost(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch, seconds: float, by_onednn: bool
) -> None:
    """Without positions, and without the edge that the window's last frame feels."""
    if by_onednn and not onednn.is_usable(torch.float32):
        pytest.skip("this CPU or torch has no products of oneDNN")
    monkeypatch.setattr(onednn, "fuses_well", lambda: by_onednn)
    encoder = tiny.checkpoint.weights.encoder
    weight = encoder.conv1.weight.clone()
    weight[:, :, 2] = 0
    encoder = replace(
        encoder,
        conv1=replace(encoder.conv1, weight=weight),
        positions=torch.zeros_like(encoder.positions),
    )
    settings = tiny.checkpoint.log_mel
    features = log_mel(settings.pad([noise(0, seconds)]), settings)
    kept = KeptFrames.of(round(50 * seconds), FRAMES)
    assert kept.count < FRAMES
    found = forward.encode(encoder, features, kept)
    assert torch.allclose(found, forward.encode(encoder, features)[:, kept.places], atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("seconds", [0.0, 0.7])
def test_a_part_of_the_features_is_convolved_to_the_same_frames(
    tiny: Twins, seconds: float
) -> None:
    """Up to the first frame of the padding, which stands for the others before their positions."""
    encoder, settings = tiny.checkpoint.weights.encoder, tiny.checkpoint.log_mel
    features = log_mel(settings.pad([noise(0, seconds)]), settings)
    first = KeptFrames.of(round(50 * seconds), FRAMES).first
    part = features[..., : 2 * first + forward.CONVOLVED_BEHIND]
    whole = forward._convolved_all(encoder, features)
    found = forward._convolved_all(encoder, part)[:, : first + 1]
    assert torch.allclose(found, whole[:, : first + 1], atol=1e-5)
    silence = whole[:, first].expand(FRAMES - 1 - first, -1)
    assert torch.allclose(whole[0, first:-1], silence, atol=1e-5)


@pytest.mark.skipif(
    not int8.is_usable() or not byte_rows.is_usable(),
    reason="this CPU or torch has no int8",
)
def test_float32_computes_every_frame_and_int8_some(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, shapes = forward.encode, []

    def watched(*given: object) -> torch.Tensor:
        encoded = encode(*given)  # type: ignore[arg-type]
        shapes.append(tuple(encoded.shape))
        return encoded

    monkeypatch.setattr("asr.engines.whisper.encoding.encoder.encode", watched)
    windows = models.windows(2)  # of 0.5 and of 1 s
    written(recording(tiny.checkpoint, slots=2), windows)
    quantized = models.checkpoint(tiny.model, tiny.shape, quantizes=True)
    written(recording(quantized, slots=2), windows)
    width = tiny.shape.width
    assert shapes[0] == (2, FRAMES, width)
    assert sorted(shapes[1:]) == [(1, 64 + 9, width), (1, FRAMES, width)]
    shapes.clear()
    recording(quantized, slots=2).warm_up()
    assert set(shapes) == {(1, FRAMES, width)}, "a window of 30 s was not tried"
