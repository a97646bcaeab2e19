"""A step by the kernels is close to the exact one, and asks the windows the same as torch's."""

from __future__ import annotations

import pytest
import torch

from asr.engines.whisper.kernels import library
from asr.engines.whisper.kernels.decoder import DecoderKernel
from asr.engines.whisper.model import forward
from asr.engines.whisper.model.kept_frames import KeptFrames
from asr.engines.whisper.model.kv_cache import KVCache
from asr.engines.whisper.model.weights import Weights, linear
from tests.support.twins import Twins

pytestmark = pytest.mark.skipif(not library.multiplies(), reason="no kernels on this machine")

FRAMES = 100  # of these models' windows


def test_a_step_is_close_to_the_exact_one(exact: Weights, loaded: Weights) -> None:
    """Of rows at different positions, whose windows keep different frames of themselves."""
    count, past = 14, 40  # more rows than a panel
    tokens = torch.randint(0, 50_000, (count, past))
    encoded = forward.encode(exact.encoder, torch.randn(count, 80, 2 * FRAMES))
    caches = [KVCache.allocate(weights, count) for weights in (exact, loaded)]
    for cache, weights in zip(caches, (exact, loaded), strict=True):
        cache.cross.store(0, encoded)
        forward.prefill(weights, cache, 0, tokens)
    positions = torch.arange(count) * 2 + 3
    for step in range(3):  # what the steps before wrote is read
        given = tokens[:, step], positions + step, past, True
        # The last norm of the one is divided by what the columns of its head are multiplied with.
        expected = linear(forward.decode(exact, caches[0], *given), exact.decoder.head)
        found = linear(forward.decode(loaded, caches[1], *given), loaded.decoder.head)
        off = (found - expected).norm(dim=1) / expected.norm(dim=1)
        assert off.mean() < 0.04
        assert off.max() < 0.08
    assert (caches[1].own - caches[0].own).norm() < 0.03 * caches[0].own.norm()


def test_a_step_asks_the_windows_what_torch_asks_them(
    wide_heads: Twins, loaded: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same matrices: only the order of sums differs, and where that rounds otherwise."""
    aligning = wide_heads.checkpoint.weights.decoder.aligning
    assert aligning
    found = []
    for has_kernel in (True, False):
        cache = KVCache.allocate(loaded, 3)
        for slot, seconds in enumerate((0.2, 1.0, 2.0)):
            kept = KeptFrames.of(round(50 * seconds), FRAMES)
            torch.manual_seed(slot)
            encoded = forward.encode(loaded.encoder, torch.randn(1, 80, 2 * FRAMES), kept)
            cache.cross.store(slot, encoded, kept)
        torch.manual_seed(9)
        forward.prefill(loaded, cache, 0, torch.randint(0, 50_000, (3, 4)))
        with monkeypatch.context() as patch:
            if not has_kernel:
                patch.setattr(DecoderKernel, "takes", lambda *_: False)
            hidden = forward.decode(
                loaded, cache, torch.tensor([7, 8, 9]), torch.tensor([4, 4, 2]), 5, aligns=True
            )
        found.append((hidden, cache.queries.clone(), cache.own.clone()))
    for ours, theirs in zip(*found, strict=True):
        assert ours.abs().max() > 0
        assert (ours - theirs).norm() < 0.01 * theirs.norm()


def test_rows_of_no_numbers_stay_so_and_others_do_not(loaded: Weights) -> None:
    cache = KVCache.allocate(loaded, 3)
    encoded = forward.encode(loaded.encoder, torch.randn(3, 80, 2 * FRAMES))
    cache.cross.store(0, encoded)
    forward.prefill(loaded, cache, 0, torch.randint(0, 50_000, (3, 4)))
    expected = forward.decode(loaded, cache, torch.tensor([7, 8, 9]), torch.full((3,), 4), 5)
    cache.own[0, 0, 1, :, 2] = torch.nan
    found = forward.decode(loaded, cache, torch.tensor([7, 8, 9]), torch.full((3,), 4), 5)
    assert found[1].isnan().all()
    assert torch.equal(found[[0, 2]], expected[[0, 2]])
