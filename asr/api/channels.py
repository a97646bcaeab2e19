"""Which channels of a recording are transcribed, as callers may ask for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from asr.errors import BadRequest
from asr.options import Channels

MOST_CHANNEL = 255  # Channels have numbers up to this.


def _channels(value: object) -> object:
    """`mix`, `split` or a number, of which a form has the digits.

    Raises:
        PydanticCustomError: it is none of these.
    """
    if isinstance(value, str):
        value = value.strip().lower()
        if value.isascii() and value.isdigit() and len(value) <= len(str(MOST_CHANNEL)):
            value = int(value)
    if value in ("mix", "split") or (type(value) is int and 0 <= value <= MOST_CHANNEL):
        return value
    raise PydanticCustomError(
        "channels", f"must be mix, split or the number of a channel, 0 to {MOST_CHANNEL}"
    )


ChannelsValue = Annotated[Channels, BeforeValidator(_channels)]
CHANNELS: TypeAdapter[Channels] = TypeAdapter(ChannelsValue)


class ChannelParameters(BaseModel):
    """Whether channels are mixed, and which one is meant."""

    channels: ChannelsValue = Field(
        "mix",
        description=(
            "`mix`: all channels as one. `split`: each by itself, at most 8; segments have their "
            "`channel`, from 0, and are in the order of time; channels that are equal count as "
            "one. A number, from 0: this channel alone"
        ),
        examples=["split"],
    )
    multichannel: bool = Field(False, description="`true`: the same as `channels=split`")

    @property
    def asked_channels(self) -> Channels:
        """Which channels are meant.

        Raises:
            BadRequest: the two fields say different things.
        """
        if not self.multichannel:
            return self.channels
        if "channels" in self.model_fields_set and self.channels != "split":
            raise BadRequest(
                f"multichannel=true is channels=split, and channels={self.channels} was sent: "
                "send either",
                "multichannel",
            )
        return "split"
