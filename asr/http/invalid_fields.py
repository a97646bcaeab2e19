"""Say in plain words what is wrong with a field of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from asr.errors import InvalidField
from asr.text import printable

CHECKS: Mapping[str, str] = {  # pydantic's kind of error → what the field has to be
    "missing": "is missing",
    "string_type": "must be text",
    "string_unicode": "must be text that can be written as UTF-8",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number with fewer digits",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "too_long": "must have at most {max_length} values",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "union_tag_invalid": "must have as {discriminator} one of {expected_tags}",
    "union_tag_not_found": "must have the key {discriminator}",
}
UNKNOWN = "has a value that cannot be used"  # The reason of an error of any other kind.
# The schemas raise errors of these kinds, with their own texts.
OWN = {"channels", "null", "strategy", "vocabulary", "webhook"}


def invalid_fields(error: ValidationError) -> list[InvalidField]:
    """Return each problem with a field, without the library's words.

    Its place is empty for the request as a whole.
    """
    details = error.errors(include_url=False, include_input=False)
    return [
        InvalidField(tuple(map(str, each["loc"])), _reason(each), each["type"]) for each in details
    ]


def _reason(problem: ErrorDetails) -> str:
    if problem["type"] in OWN:
        return printable(problem["msg"])
    text = CHECKS.get(problem["type"], UNKNOWN)
    return text.format_map({name: _shown(each) for name, each in problem.get("ctx", {}).items()})


def _shown(limit: Any) -> str:
    """Write a limit, or the choices that pydantic lists between quotes."""
    if isinstance(limit, float):
        return f"{limit:g}"
    return ", ".join(re.findall(r"'([^']+)'", str(limit))) or str(limit)
