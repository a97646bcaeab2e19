"""A number that is not finite, or a null character, is found wherever it stands."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from asr.http.bodies.values import check_texts, check_values
from asr.http.invalid_fields import invalid_fields

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a\0", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_taken_can_be_written_as_strict_json_without_null_characters(found: object) -> None:
    try:
        check_values(found)
    except ValidationError as error:
        [problem] = error.errors(include_url=False)
        for step in problem["loc"]:
            found = found[step]  # type: ignore[index]
        assert (
            "\0" in found if isinstance(found, str) else not math.isfinite(found)  # type: ignore[arg-type]
        )
        return
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "must be a finite number"),
        (-math.inf, "must be a finite number"),
        ("a\0", "must have no null character (U+0000): leave it out"),
    ],
)
def test_the_field_is_named_as_any_other_that_cannot_be_used(value: object, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check_values({"a": [1.5, {"max_time_in_queue_seconds": value}]})
    [problem] = invalid_fields(caught.value)
    assert problem.place == ("a", "1", "max_time_in_queue_seconds")
    assert problem.reason == reason
    check_values({"a": [1.5, {"b": 1e308, "c": "\n\t"}]})


def test_the_texts_of_a_form_are_checked_too() -> None:
    check_texts([("a", "b"), ("c", "")])
    with pytest.raises(ValidationError) as caught:
        check_texts([("a", "b"), ("prompt[]", "c\0d")])
    assert invalid_fields(caught.value)[0].place == ("prompt[]",)
    with pytest.raises(ValidationError) as caught:
        check_texts([("odd\tkey" * 100, "\0")])
    assert invalid_fields(caught.value)[0].place[0].isprintable()
