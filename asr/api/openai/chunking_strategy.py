"""OpenAI's `chunking_strategy`: how speech is detected, and where a recording is cut."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from asr.options import VadOptions

LONGEST_MS = 5000  # A longer padding or pause is refused: a cut is searched within ten seconds.


class Auto(BaseModel):
    """The server's default threshold and pauses are used."""

    model_config = ConfigDict(extra="allow")

    type: Literal["auto"]


class ServerVad(BaseModel):
    """How speech is detected, and where a recording is cut."""

    model_config = ConfigDict(extra="allow")

    type: Literal["server_vad"]
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description=(
            "Audio with at least this probability of speech counts as speech; unset: 0.5. Audio "
            "with up to 0.3 less may be speech, and is transcribed too. No effect with VAD=energy"
        ),
    )
    prefix_padding_ms: int | None = Field(
        None,
        ge=0,
        le=LONGEST_MS,
        description="Speech without text is decoded again from this long before it; unset: 300",
    )
    silence_duration_ms: int | None = Field(
        None,
        ge=0,
        le=LONGEST_MS,
        description=(
            "A recording is cut in the middle of its quietest part of this length; unset: 300"
        ),
    )

    @property
    def vad_options(self) -> VadOptions:
        return VadOptions(
            self.threshold, _seconds(self.prefix_padding_ms), _seconds(self.silence_duration_ms)
        )


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def strategy_in(value: object) -> object:
    """An object as it is; of a text, the JSON in it, or the type that it names."""
    if not isinstance(value, str):
        return value
    if value in {"auto", "server_vad"}:
        return {"type": value}
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):  # the latter: nested too deep
        found = None
    if isinstance(found, dict):
        return found
    raise PydanticCustomError("strategy", "must be auto or an object of the type server_vad")


Strategy = Annotated[Auto | ServerVad, Field(discriminator="type")]
