"""An encoder by the kernels is close to the exact one, for any number of frames."""

from __future__ import annotations

from dataclasses import replace

import pytest
import threadpoolctl
import torch

from asr.engines.whisper.kernels import library
from asr.engines.whisper.kernels.encoder import EncoderKernel
from asr.engines.whisper.model import forward
from asr.engines.whisper.model.kept_frames import KeptFrames
from asr.engines.whisper.model.weights import Packing, Weights, make_linear

pytestmark = pytest.mark.skipif(not library.encodes(), reason="no kernels on this machine")

OPENMP = threadpoolctl.ThreadpoolController().select(user_api="openmp")
FRAMES = 100  # of these models' windows


@pytest.mark.parametrize("first", [1, 16, 17, 33, 63, 95, FRAMES])
def test_an_encoder_with_some_of_the_frames_is_close_to_the_exact_one(
    exact: Weights, loaded: Weights, first: int
) -> None:
    assert isinstance(loaded.encoder.kernel, EncoderKernel)
    kept, features = KeptFrames(FRAMES, first), torch.randn(2, 80, 2 * FRAMES)
    features[:, :, 2 * first :] = -1.5
    found = forward.encode(loaded.encoder, features, kept)
    expected = forward.encode(exact.encoder, features, kept)
    assert (found - expected).norm() < 0.05 * expected.norm()
    by_torch = forward.encode(replace(loaded.encoder, kernel=None), features, kept)
    assert (found - by_torch).norm() < 0.02 * expected.norm()
    alone = [forward.encode(loaded.encoder, window, kept) for window in features.split(1)]
    assert torch.equal(found, torch.cat(alone))
    for threads in (1, 2, 3, 8):
        with OPENMP.limit(limits=threads):
            assert torch.equal(forward.encode(loaded.encoder, features, kept), found)


def test_a_window_of_no_numbers_stays_so_and_others_do_not(loaded: Weights) -> None:
    features = torch.randn(2, 80, 2 * FRAMES)
    features[1, 3, 50] = torch.nan
    found = forward.encode(loaded.encoder, features)
    assert found[0].isfinite().all()
    assert found[1].isnan().any()


def test_feed_forward_layers_that_are_narrower_than_the_model_have_no_kernel(
    loaded: Weights,
) -> None:
    """The kernels' memory is as wide as these layers are."""
    layers = loaded.encoder.layers
    assert EncoderKernel.of(layers, loaded.encoder.heads) is not None
    narrow = make_linear(torch.randn(128, 64), None, Packing.INT8, has_few_rows=True)
    others = [replace(layer, narrow=narrow) for layer in layers]
    assert EncoderKernel.of(others, loaded.encoder.heads) is None
