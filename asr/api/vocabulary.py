"""Names that a recording may have, as callers may send them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from asr.vocabulary import checked, names_in


def _names(value: object) -> object:
    """The names in a text or in a list of texts, checked; anything else as it is."""
    try:
        if isinstance(value, str):
            return list(names_in(value))
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return list(checked(value))
    except ValueError as error:
        raise PydanticCustomError("vocabulary", str(error)) from None
    return value


Names = Annotated[list[str], BeforeValidator(_names)]


class VocabularyParameters(BaseModel):
    """Names and rare words that are in the prompt of every window."""

    hotwords: Names = Field(
        [],
        description=(
            "Names and rare words that may be spoken, as a list or with commas: each window's "
            "prompt has them before its text"
        ),
        examples=["Ogden, Iñaki, Kubernetes"],
    )
    keywords: Names = Field([], description="The same as `hotwords`; both are used")

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.hotwords, *self.keywords]))
