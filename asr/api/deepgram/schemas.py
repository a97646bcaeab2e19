"""What goes in and out; requests are validated and documented by these models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from multidict import MultiMapping
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from asr.api.fields import Names
from asr.http.parameters import AudioFile, Location
from asr.pcm import HIGHEST_RATE, LOWEST_RATE

LISTS = {"detect_language", "extra", "keyterm", "keywords", "tag"}  # They may be repeated.
UTTERANCE_PAUSE = 0.8  # A pause of so many seconds ends an utterance, as at Deepgram.
LONGEST_PAUSE = 3600.0  # `utt_split` may be at most so many seconds.
MOST_CHANNELS = 8  # Raw audio may have at most so many channels.
EXTRA_CHARS = 2048  # A pair of `extra` has at most so many characters, as at Deepgram.

Text = Annotated[str, Field(max_length=EXTRA_CHARS)]
Texts = list[Text]
RAW: Mapping[str, int | None] = {  # encodings without a header → samples per second, if unset
    "linear16": None,
    "linear32": None,
    "mulaw": 8000,
    "alaw": 8000,
}
Encoding = Literal[
    "linear16",
    "linear32",
    "mulaw",
    "alaw",
    "flac",
    "opus",
    "ogg-opus",
    "speex",
    "amr-nb",
    "amr-wb",
]


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class ListenParameters(BaseModel):
    """How audio is to be transcribed; every key is optional, and a key without a value is unset."""

    model_config = ConfigDict(extra="allow")

    model: str | None = Field(None, description="Any name, because the server has one model")
    tier: str | None = Field(None, description="Any name, as `model`")
    version: str | None = Field(None, description="Any name, as `model`")
    language: str | None = Field(
        None,
        description=(
            "Tag, code or English name of the spoken language; unset or `multi`: it is detected"
        ),
        examples=["en-US"],
    )
    detect_language: Texts = Field(
        [],
        description=(
            "`true`: the channel has `detected_language`; languages, repeated: one of these"
        ),
    )
    punctuate: bool = Field(True, description="Text is always punctuated")
    smart_format: bool = Field(True, description="Text is always as the model formats it")
    paragraphs: bool = Field(False, description="`true`: the alternative has `paragraphs`")
    utterances: bool = Field(False, description="`true`: the results have `utterances`")
    utt_split: float = Field(
        UTTERANCE_PAUSE,
        ge=0,
        le=LONGEST_PAUSE,
        allow_inf_nan=False,
        description="An utterance ends at a pause of so many seconds",
    )
    diarize: bool = Field(False, description="`true`: each word has the number of its `speaker`")
    diarize_model: str | None = Field(None, description="Any name: the same as `diarize=true`")
    multichannel: bool = Field(
        False,
        description=(
            "`true`: each channel is transcribed by itself, at most 8; channels that are equal "
            "count as one"
        ),
    )
    keyterm: Names = Field(
        [],
        description="A name or a term that may be spoken, in every window's prompt; repeatable",
    )
    keywords: Names = Field(
        [], description="The same, perhaps with an intensifier, which has no effect, as `Lima:2`"
    )
    callback: str | None = Field(
        None,
        description="The answer is posted to this URL, and the request is a job",
        examples=["https://example.com/transcribed"],
    )
    callback_method: Annotated[Literal["post", "put"], BeforeValidator(_lower)] = Field(
        "post", description="It is always a POST"
    )
    encoding: Annotated[Encoding | None, BeforeValidator(_lower)] = Field(
        None,
        description=(
            "Of raw audio: `linear16`, `linear32` (little endian), `mulaw` or `alaw`; "
            "files with a header are read as what they are"
        ),
    )
    sample_rate: int | None = Field(
        None,
        ge=LOWEST_RATE,
        le=HIGHEST_RATE,
        description="Samples per second of raw audio; `mulaw` and `alaw`: 8000 if unset",
    )
    channels: int = Field(1, ge=1, le=MOST_CHANNELS, description="Channels of raw audio")
    tag: Texts = Field([], description="Comes back as `metadata.tags`; may be repeated")
    extra: Texts = Field(
        [], description="`KEY:VALUE`, comes back in `metadata.extra`; may be repeated"
    )

    @property
    def wants_speakers(self) -> bool:
        return self.diarize or self.diarize_model is not None


def read_query(query: MultiMapping[str]) -> ListenParameters:
    """The parameters of a query; those without a value count as not sent.

    Raises:
        pydantic.ValidationError: one of them cannot be used.
    """
    found: dict[str, object] = {}
    for name in dict.fromkeys(query):
        values = [value for value in query.getall(name) if value != ""]
        if values:
            found[name] = values if name in LISTS else values[-1]
    return ListenParameters.model_validate(found)


class ListenBody(BaseModel):
    """What a body has besides its audio: nothing that counts."""


class ListenRequest(Location):
    """A JSON object with the URL or path of the audio."""


class ListenForm(AudioFile):
    """A multipart form with the audio file."""


class Accepted(BaseModel):
    """The answer to a request with a `callback`."""

    request_id: str


class ListenWarning(BaseModel):
    parameter: str = Field(description="Empty where it is about the audio", examples=["redact"])
    type: str = Field(examples=["unsupported_parameter"])
    message: str


class ModelInfo(BaseModel):
    name: str
    version: str
    arch: str


class ListenMetadata(BaseModel):
    transaction_key: str = Field(description="Always `deprecated`, as at Deepgram")
    request_id: str
    sha256: str = Field(
        description="Of the bytes; empty where a job fetches them from a URL, or not all were read"
    )
    created: str = Field(examples=["2026-11-29T12:00:00.000Z"])
    duration: float = Field(description="Seconds of audio")
    channels: int
    models: list[str]
    model_info: dict[str, ModelInfo]
    tags: list[str] | None = None
    extra: dict[str, str] | None = None
    warnings: list[ListenWarning] | None = None


class ListenWord(BaseModel):
    word: str = Field(description="In lower case, without punctuation", examples=["lima"])
    start: float = Field(description="Seconds from the start of the audio")
    end: float
    confidence: float = Field(description="The word's probability, 0 to 1")
    punctuated_word: str = Field(examples=["Lima."])
    speaker: int | None = Field(None, description="With `diarize`, where it is known; from 0")


class Sentence(BaseModel):
    text: str
    start: float
    end: float


class Paragraph(BaseModel):
    sentences: list[Sentence]
    num_words: int
    start: float
    end: float
    speaker: int | None = None


class Paragraphs(BaseModel):
    transcript: str
    paragraphs: list[Paragraph]


class Alternative(BaseModel):
    transcript: str = Field(description="The whole text; empty for silence")
    confidence: float = Field(description="The mean of its words'; 0 without words")
    words: list[ListenWord]
    languages: list[str] | None = Field(None, description="With `language=multi`")
    paragraphs: Paragraphs | None = None


class Channel(BaseModel):
    alternatives: list[Alternative]
    detected_language: str | None = Field(None, description="With `detect_language`")
    language_confidence: float | None = Field(
        None, description="The probability of `detected_language`, where the model detected it"
    )


class ListenUtterance(BaseModel):
    id: str
    start: float
    end: float
    confidence: float
    channel: int
    transcript: str
    words: list[ListenWord]
    speaker: int | None = None


class ListenResults(BaseModel):
    channels: list[Channel]
    utterances: list[ListenUtterance] | None = None


class ListenAnswer(BaseModel):
    metadata: ListenMetadata
    results: ListenResults


class ListenProblem(BaseModel):
    """Any failure."""

    err_code: str = Field(examples=["Bad Request"])
    err_msg: str
    request_id: str


class AnswerDetails(BaseModel):
    """What an answer tells besides the transcript; a job keeps it."""

    created: float  # seconds since 1970
    model_id: str
    engine: str
    has_paragraphs: bool = False
    has_utterances: bool = False
    utt_split: float = UTTERANCE_PAUSE  # seconds
    tells_language: bool = False
    lists_languages: bool = False
    tags: list[str] = []
    extra: dict[str, str] = {}
    warnings: list[ListenWarning] = []
    sha256: str = ""  # of the audio's bytes; "": nobody knows

    def dumped(self) -> dict[str, Any]:
        """The plan as JSON, for a job to keep."""
        return self.model_dump(mode="json")
