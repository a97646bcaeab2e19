"""Fields that several dialects take: names to be known, captions, segments and channels."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from asr.errors import BadRequest
from asr.formats.captions import Layout
from asr.options import Channels
from asr.vocabulary import checked, names_in

LONGEST_SEGMENT = 30.0  # Segments are merged into sentences of so many seconds at most.
MOST_CHANNEL = 255  # Channels have numbers up to this.


class SegmentParameters(BaseModel):
    """How long the segments of the text are."""

    segment_length_s: float | None = Field(
        None,
        ge=1,
        le=LONGEST_SEGMENT,
        allow_inf_nan=False,
        description=(
            "Short segments are merged into sentences of at most so many seconds; never across "
            "two seconds of silence or a change of the speaker. Unset: segments are the model's"
        ),
    )


class CaptionParameters(BaseModel):
    """The limits of a caption's text."""

    max_line_width: int = Field(
        42, ge=1, le=1000, description="Maximum number of characters in a line of srt, vtt and lrc"
    )
    max_line_count: int = Field(
        2, ge=1, le=100, description="Maximum number of lines in a cue of srt and vtt; lrc has one"
    )

    @property
    def layout(self) -> Layout:
        return Layout(self.max_line_width, self.max_line_count)


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


class OneChannelParameters(ChannelParameters):
    """Which channel is meant, where an answer has room for one."""

    channels: ChannelsValue = Field(
        "mix",
        description=(
            "`mix`: all channels as one. A number, from 0: this channel alone. With `split` or "
            "`multichannel` the answer is 400: ask for each channel by itself"
        ),
        examples=[0],
    )
    multichannel: bool = Field(False, description="Only `false`")

    @property
    def asked_channels(self) -> Channels:
        """The mix, or the channel that is meant.

        Raises:
            BadRequest: all channels are asked for.
        """
        asked = super().asked_channels
        if asked == "split":
            name = "multichannel" if self.multichannel else "channels"
            sent = "multichannel=true" if self.multichannel else "channels=split"
            raise BadRequest(
                f"{sent}: an answer of this route is about one channel, or all of them mixed; "
                "send a request for each channel, with channels=0, channels=1 and so on",
                name,
            )
        return asked


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
