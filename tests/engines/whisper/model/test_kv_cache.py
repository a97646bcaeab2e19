"""A slot of the KV cache has the size that is planned."""

from __future__ import annotations

import copy

import pytest

from asr.engines.whisper.model.assembly import take
from asr.engines.whisper.model.int8_cross_attention import QuantizedKeysAndValues
from asr.engines.whisper.model.kv_cache import KVCache, slot_bytes
from tests.support.twins import Twins

pytestmark = pytest.mark.both_forms


def test_a_slot_takes_what_is_planned_for_it(twins: Twins, keeps_encoder_output: bool) -> None:
    loaded = twins.checkpoint.weights
    cache = KVCache.allocate(loaded, 3, keeps_encoder_output)
    stored = cache.cross.stored.nbytes + cache.own.nbytes + cache.queries.nbytes
    assert stored == 3 * slot_bytes(loaded, keeps_encoder_output)


def test_a_slot_in_int8_takes_what_is_planned_for_it_and_less(tiny: Twins) -> None:
    given = copy.deepcopy(tiny.model)
    exact, quantized = (take(given.state_dict(), given.config, each) for each in (False, True))
    cross = KVCache.allocate(quantized, 3).cross
    assert isinstance(cross, QuantizedKeysAndValues)
    assert cross.stored.nbytes == 3 * cross.slot_bytes(quantized)
    assert slot_bytes(quantized) < 0.7 * slot_bytes(exact)
