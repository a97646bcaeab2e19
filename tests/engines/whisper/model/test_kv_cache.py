"""A slot of the KV cache has the size that is planned."""

from __future__ import annotations

import pytest

from asr.engines.whisper.model.kv_cache import KVCache, slot_bytes
from tests.support.twins import Twins

pytestmark = pytest.mark.both_forms


def test_a_slot_takes_what_is_planned_for_it(twins: Twins, keeps_encoder_output: bool) -> None:
    loaded = twins.checkpoint.weights
    cache = KVCache.allocate(loaded, 3, keeps_encoder_output)
    stored = cache.cross.stored.nbytes + cache.own.nbytes + cache.queries.nbytes
    assert stored == 3 * slot_bytes(loaded, keeps_encoder_output)
