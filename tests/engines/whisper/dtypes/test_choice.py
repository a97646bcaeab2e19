"""The rule by which a number format is chosen, and that it is the same at every start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.engines.whisper.dtypes import choice, kept
from asr.engines.whisper.dtypes.choice import (
    TIE,
    MeasuredFormats,
    choose,
    described,
    is_allowed,
)
from asr.engines.whisper.dtypes.measurement import FORMATS, ModelShape

SMALL = ModelShape(768, 3072, 12, 12, 12, 51_865, 1500)
DEMO = ModelShape(160, 640, 3, 2, 2, 2894, 1500)
FAST_INT8 = {"float32": 4.0, "int8": 1.0}

speeds = st.floats(1e-3, 1e3)
figures = st.fixed_dictionaries({"float32": speeds}, optional={"bfloat16": speeds, "int8": speeds})
widths = st.sampled_from([160, 384, 512, 768, 1280])


def allow_all(patch: pytest.MonkeyPatch, width: int = 0) -> None:
    """Allow every format for models of this width, whatever was measured."""
    patch.setattr(choice, "LEAST_WIDTHS", dict.fromkeys(choice.LEAST_WIDTHS, width))


@given(figures, widths)
def test_no_format_that_could_be_chosen_is_faster_by_more_than_a_tie(seconds, width):
    chosen = choose(seconds, width)
    assert is_allowed(chosen, width)
    others = [taken for name, taken in seconds.items() if is_allowed(name, width)]
    assert seconds[chosen] <= TIE * min(others)


@given(figures, widths)
def test_float32_stays_where_nothing_is_faster_by_more_than_a_tie(seconds, width):
    allowed = [taken for name, taken in seconds.items() if is_allowed(name, width)]
    stays = seconds["float32"] <= TIE * min(allowed)
    assert (choose(seconds, width) == "float32") == stays


@given(figures, widths, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_a_machine_that_is_as_busy_for_each_format_changes_nothing(seconds, width, times):
    slower = {name: times * taken for name, taken in seconds.items()}
    assert choose(slower, width) == choose(seconds, width)


@given(
    st.sampled_from(["float32", "bfloat16", "int8"]),
    st.fixed_dictionaries(dict.fromkeys(("float32", "bfloat16", "int8"), st.floats(1.2, 9))),
    st.fixed_dictionaries(dict.fromkeys(("float32", "bfloat16", "int8"), st.floats(0.94, 1.06))),
)
def test_a_format_that_is_ahead_by_a_fifth_is_chosen_whatever_the_noise(name, behind, noise):
    with pytest.MonkeyPatch.context() as patch:
        allow_all(patch)
        seconds = behind | {name: 1.0}
        noisy = {one: taken * noise[one] for one, taken in seconds.items()}
        assert choose(seconds, SMALL.width) == choose(noisy, SMALL.width) == name


def test_a_model_too_narrow_for_measured_errors_stays_in_float32():
    seconds = {"float32": 9.0, "bfloat16": 1.0, "int8": 1.0}
    assert choose(seconds, DEMO.width) == "float32"


def test_the_most_exact_of_equally_fast_formats_is_chosen(monkeypatch):
    allow_all(monkeypatch)
    seconds = {"float32": 2.0, "bfloat16": 1.04, "int8": 1.0}
    assert choose(seconds, SMALL.width) == "bfloat16"
    assert choose(seconds | {"int8": 0.9}, SMALL.width) == "int8"
    assert choose(seconds | {"float32": 1.0}, SMALL.width) == "float32"


def test_the_reason_has_the_figures_of_all_formats(monkeypatch):
    allow_all(monkeypatch, 512)
    second = SMALL.window_flops / 1e9
    seconds = {"float32": second / 40, "int8": second / 101}
    assert described("int8", seconds, SMALL) == (
        "measured on one core: 101 GFLOP/s, float32 40, bfloat16 unsupported"
    )
    second = DEMO.window_flops / 1e9
    assert described("float32", {"float32": second / 40, "int8": second / 50}, DEMO) == (
        "measured on one core: 40 GFLOP/s, bfloat16 unsupported, int8 50 but of unproven accuracy"
    )


def test_a_second_start_chooses_by_the_figures_of_the_first(tmp_path):
    taken = []

    def measure(shape):
        taken.append(shape)
        return FAST_INT8

    first = MeasuredFormats(SMALL, tmp_path, measure).fastest()
    assert MeasuredFormats(SMALL, tmp_path, measure).fastest() == first
    assert taken == [SMALL]
    MeasuredFormats(DEMO, tmp_path, measure).fastest()
    assert taken == [SMALL, DEMO]


def test_a_directory_that_cannot_be_written_to_is_no_error(tmp_path, caplog):
    (tmp_path / kept.FOLDER).write_text("a file where the folder should be")
    caplog.set_level("INFO")
    formats = MeasuredFormats(SMALL, tmp_path, lambda _: FAST_INT8)
    assert formats.fastest() == formats.fastest()
    assert "made again at each start" in caplog.text


def test_what_the_machine_has_is_told():
    formats = MeasuredFormats(SMALL, cache=None)
    assert formats.supports("float32")
    assert not formats.supports("float16")
    for one in FORMATS:
        assert formats.supports(one.name) == (one.packing() is not None)


def test_int8_is_chosen_from_the_width_on_at_which_its_text_was_compared():
    seconds = {"float32": 9.0, "int8": 1.0}
    assert choose(seconds, SMALL.width) == "int8"
    assert choose(seconds, 511) == "float32"


def test_a_format_that_is_not_known_to_be_as_accurate_is_not_chosen():
    assert choose({"float32": 9.0, "bfloat16": 1.0}, SMALL.width) == "float32"
    assert choose({"float32": 9.0, "bfloat16": 1.0, "int8": 2.0}, SMALL.width) == "int8"
