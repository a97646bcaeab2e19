"""What every dialect may ask alike, validated and documented once."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
)

from asr.capabilities import EngineInfo, ServerInfo
from asr.errors import BadRequest
from asr.options import AudioPart, SpeakerOptions, Thresholds
from asr.text import printable

SEED_LIMIT = 2**63  # PyTorch's generators take seeds below this.
MOST_TRACKS = 2**31 - 1  # ffmpeg takes numbers up to this.
NAMES, REFERENCES = "known_speaker_names", "known_speaker_references"
LONG_FIELDS = (REFERENCES, f"{REFERENCES}[]")  # In a form they have up to 8 MiB each.
MOST_SECONDS = 10**9  # A part of a recording may begin and end after so many seconds.
MOST_SPEAKERS = 50  # A caller may expect so many people in a recording, and no more.


def _parted(value: object) -> object:
    """A list as it is; of a text, the parts between its commas."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _first(value: object) -> object:
    """Of a list, its first value: what other servers fall back to after it is tried here anyway."""
    values = _parted(value)
    if not isinstance(values, list) or not values:
        return value
    for each in values[1:]:
        TEMPERATURE.validate_python(each)
    return values[0]


Texts = Annotated[list[str], BeforeValidator(_parted)]
TemperatureValue = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Temperature = Annotated[TemperatureValue, BeforeValidator(_first)]
Seconds = Annotated[float, Field(ge=0, le=MOST_SECONDS, allow_inf_nan=False)]
TEMPERATURE: TypeAdapter[float] = TypeAdapter(TemperatureValue)


class StrictParameters(BaseModel):
    """Parameters that ignore unknown keys, unless they are `strict`."""

    model_config = ConfigDict(extra="allow")

    strict: bool = Field(
        False, description="Unknown keys are answered 400 instead of being ignored"
    )


def refuse_unknown(parameters: StrictParameters) -> None:
    """Check the keys of strict parameters.

    Raises:
        BadRequest: a key is unknown.
    """
    unknown = sorted(parameters.model_extra or {})
    if parameters.strict and unknown:
        raise BadRequest(
            f"unknown keys: {printable(', '.join(unknown))}; leave them out, or leave 'strict' out"
        )


class TrackParameters(BaseModel):
    """Which part of a file is the audio."""

    audio_track: int | None = Field(
        None,
        ge=0,
        le=MOST_TRACKS,
        description=(
            "Number of the audio track among those of the file, from 0; unset: the one that is "
            "marked as default, or else the first one"
        ),
    )
    start: float | None = Field(
        None,
        ge=0,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Only what follows these seconds is transcribed; times stay the recording's",
    )
    end: float | None = Field(
        None,
        gt=0,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Only what precedes these seconds is read",
    )
    clip_timestamps: Annotated[list[Seconds], BeforeValidator(_parted)] = Field(
        [],
        max_length=2,
        description="`start` and `end`, or `start` alone, as faster-whisper takes them",
    )

    @property
    def part(self) -> AudioPart | None:
        """The part of the recording that is meant; None: all of it.

        Raises:
            BadRequest: it is sent twice, or it ends before it begins.
        """
        start, end = self.start, self.end
        if self.clip_timestamps:
            if start is not None or end is not None:
                raise BadRequest(
                    "clip_timestamps is start and end in one: send either", "clip_timestamps"
                )
            start, end = [*self.clip_timestamps, None][:2]
        if start is None and end is None:
            return None
        if end is not None and end <= (start or 0.0):
            raise BadRequest(
                f"the part ends at {end:g} s and begins at {start or 0.0:g} s: send a later end",
                "clip_timestamps" if self.clip_timestamps else "end",
            )
        return AudioPart(start or 0.0, end)


class DecodingParameters(BaseModel):
    """Temperature, seed, thresholds of the temperature fallback, and the text before."""

    temperature: Temperature = Field(
        0.0,
        description=(
            "0: the likeliest token is chosen, and a window with an unlikely or repetitive text is "
            "decoded again at higher temperatures. Above 0, tokens are chosen at random. Of a "
            "list, the first value is used"
        ),
    )
    seed: int | None = Field(
        None,
        ge=0,
        lt=SEED_LIMIT,
        description=(
            "Seed of the random numbers. Unset: at a temperature above 0 each request has a new "
            "random seed; at 0, windows that are decoded again always have the same seed"
        ),
    )
    logprob_threshold: float | None = Field(
        None,
        le=0,
        allow_inf_nan=False,
        validation_alias=AliasChoices("logprob_threshold", "log_prob_threshold"),
        description=(
            "A window's text with a lower mean log-probability than this is unlikely and is "
            "decoded again; also `log_prob_threshold`; unset: the server's setting"
        ),
    )
    compression_ratio_threshold: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description=(
            "A window's text with a higher compression ratio than this is repetitive and is "
            "decoded again; unset: the server's setting"
        ),
    )
    no_speech_threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description=(
            "An unlikely text is dropped if the model's probability of no speech is higher than "
            "this; unset: the server's setting"
        ),
    )

    condition_on_previous_text: bool | None = Field(
        None,
        description=(
            "`true`: the text before a window is its prompt, so that style and spelling stay the "
            "same. The windows of the recording are transcribed one after the other, which takes "
            "longer if the server is idle; unset: the server's setting"
        ),
    )

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(
            self.logprob_threshold, self.compression_ratio_threshold, self.no_speech_threshold
        )

    def without_effect(self, info: EngineInfo) -> list[str]:
        """The thresholds that were asked and that the engine has nothing to hold against."""
        if info.has_logprobs:
            return []
        asked = {
            "logprob_threshold": self.logprob_threshold,
            "compression_ratio_threshold": self.compression_ratio_threshold,
            "no_speech_threshold": self.no_speech_threshold,
        }
        return [name for name, value in asked.items() if value is not None]


class SpeakerCounts(BaseModel):
    """How many people speak, as far as the caller knows."""

    num_speakers: int | None = Field(
        None, ge=1, le=MOST_SPEAKERS, description="Number of speakers; unset: it is estimated"
    )
    min_speakers: int | None = Field(
        None, ge=1, le=MOST_SPEAKERS, description="So many people speak at least"
    )
    max_speakers: int | None = Field(
        None, ge=1, le=MOST_SPEAKERS, description="So many people speak at most"
    )

    def speaker_options(
        self, server: ServerInfo, field: str | None, what: str | None = None
    ) -> SpeakerOptions:
        """What is known of the speakers, who are to be told apart.

        Args:
            field: that asks for it; None: the route does.
            what: to name instead of the field.

        Raises:
            BadRequest: the server has no diarizer.
        """
        if not server.has_diarizer:
            raise BadRequest(
                f"{what or field} needs a diarizer, and this server has none (DIARIZER=off): "
                "ask a server that has one, or do without speakers",
                field,
            )
        return SpeakerOptions(self.num_speakers, self.min_speakers, self.max_speakers)

    @property
    def sent_counts(self) -> list[str]:
        """The names of the numbers that were sent."""
        names = ("num_speakers", "min_speakers", "max_speakers")
        return [name for name in names if getattr(self, name) is not None]


class SpeakerParameters(SpeakerCounts):
    """Whether speakers are told apart, and how many there are."""

    diarize: bool = Field(
        False, description="`true`: the answer tells who speaks, as far as its format has speakers"
    )


class KnownSpeakerParameters(BaseModel):
    """People whose voices are known, in OpenAI's names."""

    known_speaker_names: list[str] = Field(
        [], description="Names of people whose voices are known, at most four; not of a job"
    )
    known_speaker_references: list[str] = Field(
        [],
        description=(
            "A recording of the voice of each of them, of 2 to 10 seconds, as a data URL; in the "
            "same order"
        ),
        examples=[["data:audio/wav;base64,UklGRg=="]],
    )

    @property
    def sent_known(self) -> list[str]:
        """The names of the fields that were sent."""
        known = {NAMES: self.known_speaker_names, REFERENCES: self.known_speaker_references}
        return [name for name, sent in known.items() if sent]


class AudioFile(BaseModel):
    file: bytes = Field(description="The audio file", json_schema_extra={"format": "binary"})


EXAMPLE_URL = "https://example.com/audio.mp3"


class Location(BaseModel):
    """The place of the audio."""

    url: str = Field(
        min_length=1,
        description="An http(s) URL, a data URI, or a path inside the server's AUDIO_ROOT",
        examples=[EXAMPLE_URL],
    )
