"""Refuses values that no field of any request may have, whatever its name."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from asr.text import printable

NULL = "\0"  # No text has this character: a database, a file's name and a subtitle take none.
NO_NULL = PydanticCustomError("null", "must have no null character (U+0000): leave it out")
NOT_FINITE = "finite_number"  # pydantic's kind of error for such a field.
NAME_CHARS = 100  # Of a field's name, which is the caller's, so many characters are shown.
Place = tuple[str | int, ...]


def check_values(found: object) -> None:
    """Refuse JSON with NaN, Infinity, a number as large as `1e999`, or a null character in a text.

    Fields that have no meaning count, too: a job keeps them.

    Raises:
        pydantic.ValidationError: it names the field.
    """
    waiting: list[tuple[object, Place]] = [(found, ())]
    while waiting:
        value, place = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise _unusable(NOT_FINITE, place)
        if isinstance(value, str) and NULL in value:
            raise _unusable(NO_NULL, place)
        if isinstance(value, dict):
            waiting += [(each, (*place, name)) for name, each in value.items()]
        elif isinstance(value, list):
            waiting += [(each, (*place, number)) for number, each in enumerate(value)]


def check_texts(fields: Iterable[tuple[str, str]]) -> None:
    """Refuse a null character in the fields of a query or a form.

    Raises:
        pydantic.ValidationError: it names the field.
    """
    for name, value in fields:
        if NULL in value:
            raise _unusable(NO_NULL, (name,))


def _unusable(why: str | PydanticCustomError, place: Place) -> ValidationError:
    shown = (each if isinstance(each, int) else printable(each[:NAME_CHARS]) for each in place)
    problem = InitErrorDetails(type=why, loc=tuple(shown), input=None)
    return ValidationError.from_exception_data("request", [problem])
