"""What is measured, by a clock that stands for the processor."""

import itertools

import pytest
import torch

from asr.engines.whisper.dtypes import measurement
from asr.engines.whisper.dtypes.measurement import FORMATS, ModelShape, measure
from asr.engines.whisper.model.weights import Packing

NARROW = ModelShape(64, 128, 2, 2, 2, 300, 100)
SMALL = ModelShape(768, 3072, 12, 12, 12, 51_865, 1500)


def test_every_format_that_the_machine_has_is_measured():
    seconds = measure(NARROW)
    assert list(seconds) == [one.name for one in FORMATS if one.packing() is not None]
    assert min(seconds.values()) > 0


def test_a_window_takes_as_long_as_its_pieces(monkeypatch):
    clock = itertools.count(0.0, 1.0)  # every call of a piece takes a second
    monkeypatch.setattr(measurement, "packing_of", lambda *_: Packing.PLAIN)
    seconds = measure(NARROW, lambda: next(clock))
    rows = NARROW.frames
    layer = 2.0 * NARROW.width * NARROW.feed_width
    steps = NARROW.step_flops / layer
    expected = NARROW.encoder_flops / (rows * layer)
    expected += NARROW.attention_flops / (4.0 * rows * rows * NARROW.width / 2)
    expected += measurement.STEPS_ALONE * steps
    expected += measurement.STEPS_TOGETHER * steps / measurement.TOGETHER
    assert seconds == {"float32": pytest.approx(expected)}  # the others would be detours


def test_bursts_of_other_programs_do_not_count(monkeypatch):
    monkeypatch.setattr(measurement, "packing_of", lambda *_: Packing.PLAIN)
    quiet = itertools.count(0.0, 1.0)
    expected = measure(NARROW, lambda: next(quiet))
    readings = itertools.count()
    burst = itertools.accumulate(90.0 if number % 24 == 9 else 1.0 for number in readings)
    assert measure(NARROW, lambda: next(burst)) == expected


def test_the_number_of_threads_is_what_it_was():
    inside = []
    threads = torch.get_num_threads()

    def clock():
        inside.append(torch.get_num_threads())
        return float(len(inside))

    measure(NARROW, clock)
    assert set(inside) == {1}
    assert torch.get_num_threads() == threads


def test_the_operations_of_whisper_small_are_counted():
    assert SMALL.encoder_flops + SMALL.attention_flops == pytest.approx(380e9, rel=0.02)
    assert SMALL.step_flops == pytest.approx(278e6, rel=0.01)
    assert SMALL.window_flops > SMALL.encoder_flops + SMALL.attention_flops
