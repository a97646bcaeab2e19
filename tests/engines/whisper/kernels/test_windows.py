"""A window's keys and values by the kernel are those that torch projects and packs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import threadpoolctl
import torch

from asr.engines.whisper.kernels import library
from asr.engines.whisper.kernels.windows import WindowKernel
from asr.engines.whisper.model.int8_cross_attention import QuantizedKeysAndValues
from asr.engines.whisper.model.kept_frames import KeptFrames
from asr.engines.whisper.model.weights import Weights

pytestmark = pytest.mark.skipif(not library.encodes(), reason="no kernels on this machine")

OPENMP = threadpoolctl.ThreadpoolController().select(user_api="openmp")
FRAMES = 100  # of these models' windows


def stored(loaded: Weights, encoded: torch.Tensor, kept: KeptFrames) -> QuantizedKeysAndValues:
    cross = QuantizedKeysAndValues.allocate(loaded, 3)
    cross.stored.fill_(255)  # what another window left there: no numbers
    cross.store(1, encoded, kept)
    return cross


@pytest.mark.parametrize("first", [1, 40, 60, 63, 64, 65, FRAMES])
def test_tables_are_those_that_torch_makes(loaded: Weights, first: int) -> None:
    assert isinstance(loaded.decoder.window_kernel, WindowKernel)
    kept = KeptFrames(FRAMES, first)
    encoded = torch.randn(2, kept.count, 128)
    by_torch = replace(loaded, decoder=replace(loaded.decoder, window_kernel=None))
    ours, theirs = (stored(weights, encoded, kept) for weights in (loaded, by_torch))
    for slot in (1, 2):
        for layer in range(2):
            for head in range(2):
                keys, expected = (
                    each.keys(layer, head, slot, kept.count) for each in (ours, theirs)
                )
                assert (keys - expected).norm() < 1e-3 * expected.norm()
        query = torch.randn(1, 2, 9, 64)  # so many that torch reads the tables for both
        for layer in range(2):
            answer, expected = (
                each.attend(layer, query, slice(slot, slot + 1)) for each in (ours, theirs)
            )
            assert answer.isfinite().all()
            assert (answer - expected).norm() < 1e-3 * expected.norm()
    assert (ours.stored[0] == 255).all()
    for threads in (1, 2, 3, 8):
        with OPENMP.limit(limits=threads):
            assert torch.equal(stored(loaded, encoded, kept).stored, ours.stored)


def test_a_frame_of_no_numbers_is_none_in_the_tables(loaded: Weights) -> None:
    kept, encoded = KeptFrames(FRAMES, FRAMES), torch.randn(1, FRAMES, 128)
    encoded[0, 70, 5] = torch.nan
    cross = stored(loaded, encoded, kept)
    keys = cross.keys(0, 0, 1, FRAMES)
    assert keys[:64].isfinite().all(), "a block of the keys before it"
    assert keys[70].isnan().all()
    query = torch.randn(1, 2, 1, 64)
    assert cross.attend(0, query, slice(1, 2)).isnan().all()
