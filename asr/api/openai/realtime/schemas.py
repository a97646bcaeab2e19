"""The configuration of a transcription session, as it is validated and documented."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from asr.api.fields import Names
from asr.options import Task

LOGPROBS = "item.input_audio_transcription.logprobs"
HYPOTHESIS = "item.input_audio_transcription.hypothesis"  # an extension
WORDS = "item.input_audio_transcription.words"  # an extension

LONGEST_PADDING_MS = 5_000  # A longer padding is refused: it would be another utterance.
LONGEST_SILENCE_MS = 10_000  # A longer silence is refused: utterances end after 30 s anyway.
PROMPT_CHARS = 10_000  # A longer prompt is refused, as in a form.
MOST_LISTED = 500  # Longer lists are refused; each is in the session's memory.
WORD_CHARS = 200  # A keyword, a language or a name with more characters is refused.

DIARIZING_MODEL = "gpt-4o-transcribe-diarize"  # OpenAI's, which tells speakers apart

Short = Annotated[str, Field(max_length=WORD_CHARS)]


class SessionPart(BaseModel):
    """A part of the configuration; other fields are named in `warnings`."""

    model_config = ConfigDict(extra="allow")


class PcmFormat(SessionPart):
    """Samples of 16 bits, little-endian, one channel."""

    type: Literal["audio/pcm"]
    rate: int = Field(
        24_000, ge=8_000, le=48_000, description="Samples per second; OpenAI takes 24000 alone"
    )


class MuLawFormat(SessionPart):
    """G.711 μ-law at 8 kHz."""

    type: Literal["audio/pcmu"]


class ALawFormat(SessionPart):
    """G.711 A-law at 8 kHz."""

    type: Literal["audio/pcma"]


class TranscriptionSettings(SessionPart):
    """What is transcribed, and how."""

    model: Short | None = Field(
        None,
        description=(
            f"Any name, because the server has one model; `{DIARIZING_MODEL}` asks who speaks"
        ),
    )
    language: Short | None = Field(
        None, description="Code, tag or English name of the spoken language; unset: it is detected"
    )
    languages: list[Short] = Field(
        [], max_length=MOST_LISTED, description="Languages that may be detected; unset: all"
    )
    keywords: Names = Field(
        [], description="Names and rare words that may be spoken, in the prompt of every window"
    )
    prompt: str = Field(
        "", max_length=PROMPT_CHARS, description="Text in the style of what is said"
    )
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = Field(
        None,
        description=(
            "How far from the end of the audio words are given out: 0.2, 0.35, 0.5, 0.8 or 1.5 s; "
            "unset: medium"
        ),
    )
    task: Task = Field("transcribe", description="`translate`: into English; OpenAI has no such")
    diarize: bool = Field(
        False,
        description=f"Ask who speaks, as the model `{DIARIZING_MODEL}` does; OpenAI has no such",
    )

    @property
    def asks_who_speaks(self) -> bool:
        return self.diarize or self.model == DIARIZING_MODEL


class NoiseReduction(SessionPart):
    """Is kept, and has no effect."""

    type: Literal["near_field", "far_field"] | None = None
    strength: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)


class SessionServerVad(SessionPart):
    """An utterance ends with a silence."""

    type: Literal["server_vad"] = "server_vad"
    threshold: float = Field(
        0.5, ge=0, le=1, allow_inf_nan=False, description="Probability from which a sound is speech"
    )
    prefix_padding_ms: int = Field(
        300, ge=0, le=LONGEST_PADDING_MS, description="Audio before the speech that belongs to it"
    )
    silence_duration_ms: int = Field(
        500,
        ge=0,
        le=LONGEST_SILENCE_MS,
        description="Silence that ends the utterance; less than 200 counts as 200",
    )
    create_response: bool | None = Field(None, description="Has no effect")
    interrupt_response: bool | None = Field(None, description="Has no effect")
    idle_timeout_ms: int | None = Field(None, description="Has no effect")


class SessionSemanticVad(SessionPart):
    """Is carried out as a server_vad with another silence."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = Field(
        "auto", description="An utterance ends after a silence of 2 s, 1 s or 0.5 s; auto: 1 s"
    )
    create_response: bool | None = Field(None, description="Has no effect")
    interrupt_response: bool | None = Field(None, description="Has no effect")


AudioFormat = Annotated[PcmFormat | MuLawFormat | ALawFormat, Field(discriminator="type")]
TurnRule = Annotated[SessionServerVad | SessionSemanticVad, Field(discriminator="type")]


class SessionInput(SessionPart):
    """The audio that comes in."""

    format: AudioFormat = PcmFormat(type="audio/pcm")
    transcription: TranscriptionSettings = TranscriptionSettings()
    noise_reduction: NoiseReduction | None = None
    turn_detection: TurnRule | None = Field(
        SessionServerVad(), description="How utterances end; null: the client commits each one"
    )


class SessionAudio(SessionPart):
    input: SessionInput = SessionInput()


class TranscriptionSession(SessionPart):
    """How a session transcribes; every key is optional."""

    type: Literal["transcription"] = "transcription"
    audio: SessionAudio = SessionAudio()
    include: list[Short] = Field(
        [],
        max_length=MOST_LISTED,
        description=(
            f"`{LOGPROBS}`: tokens with their log-probabilities; not OpenAI's: `{HYPOTHESIS}`: "
            f"events with words that may still change; `{WORDS}`: the words of a whole "
            "utterance, with their times"
        ),
    )
