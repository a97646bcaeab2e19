"""What is wrong with a field is said in plain words, whatever pydantic calls it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from asr.errors import InvalidField
from asr.http.invalid_fields import UNKNOWN, invalid_fields


class Round(BaseModel):
    shape: Literal["round"]


class Square(BaseModel):
    shape: Literal["square"]


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Order(BaseModel):
    count: int = Field(1, ge=1, le=9)
    weight: float = Field(1.0, gt=0.5, lt=2**63, allow_inf_nan=False)
    colour: Literal["red", "green"] = "red"
    size: Size = Size.SMALL
    name: str = Field("a", min_length=1, max_length=5)
    gift: bool = False
    tags: list[str] = []
    form: Annotated[Round | Square | None, Field(discriminator="shape")] = None
    secret: bytes = b""


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("count", "many", "must be a whole number"),
        ("count", 1.5, "must be a whole number"),
        ("count", None, "must be a whole number"),
        ("count", "9" * 5000, "must be a whole number with fewer digits"),
        ("count", 0, "must be at least 1"),
        ("count", 10, "must be at most 9"),
        ("weight", "heavy", "must be a number"),
        ("weight", [], "must be a number"),
        ("weight", float("nan"), "must be a finite number"),
        ("weight", 0.5, "must be greater than 0.5"),
        ("weight", 1e300, "must be less than 9.22337e+18"),
        ("colour", "blue", "must be one of red, green"),
        ("size", "huge", "must be one of small, large"),
        ("name", "", "must not be empty"),
        ("name", "abcdef", "must have at most 5 characters"),
        ("name", 5, "must be text"),
        ("name", "\ud800", "must be text that can be written as UTF-8"),
        ("gift", "perhaps", "must be true or false"),
        ("gift", None, "must be true or false"),
        ("tags", {}, "must be a list"),
        ("form", {"shape": "flat"}, "must have as shape one of round, square"),
        ("form", {}, "must have the key shape"),
        ("form", 7, "must be an object"),
        ("secret", [], UNKNOWN),
    ],
)
def test_each_kind_of_error_has_its_words(field: str, value: object, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({field: value})
    [found] = invalid_fields(caught.value)
    assert (found.place, found.reason) == ((field,), reason)


def test_the_place_leads_to_the_problem() -> None:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"tags": ["a", 1], "count": "x"})
    assert invalid_fields(caught.value) == [
        InvalidField(("count",), "must be a whole number", "int_parsing"),
        InvalidField(("tags", "1"), "must be text", "string_type"),
    ]
