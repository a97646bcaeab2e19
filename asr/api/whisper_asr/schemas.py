"""The query, the form and the answers; the query is validated and documented by these models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from asr.api.fastapi_problem import FieldProblem
from asr.api.fields import (
    ChannelParameters,
    OneChannelParameters,
    SegmentParameters,
    VocabularyParameters,
)
from asr.formats.whisper_output import Output
from asr.http.parameters import MOST_SECONDS, SpeakerParameters
from asr.options import AudioPart, Task

AUDIO_FILE = "audio_file"  # The part of this name is the audio; also `file`.
PROMPT_CHARS = 10_000  # A longer prompt is refused; a model reads a few hundred words of it.


class FileQuery(BaseModel):
    """What both routes may be asked; unknown names are ignored, and told in X-Warnings."""

    model_config = ConfigDict(extra="allow")

    encode: bool = Field(
        True,
        description=(
            "`true`: the part is an audio or video file. `false`: it is raw PCM, 16 bits, little "
            "endian, 16 kHz, mono"
        ),
    )
    video_file: str | None = Field(
        None, description="Bazarr's name of the video, which is written to the log alone"
    )


class TranscriptionQuery(
    FileQuery, ChannelParameters, SpeakerParameters, SegmentParameters, VocabularyParameters
):
    """How the file is to be transcribed."""

    task: Task = Field(
        "transcribe",
        description="`translate`: the text is English, whatever the spoken language is",
    )
    language: str | None = Field(
        None,
        description="Code, tag or English name of the spoken language; unset: it is detected",
        examples=["en"],
    )
    initial_prompt: str | None = Field(
        None,
        max_length=PROMPT_CHARS,
        description="Text in the style of the audio, or names that occur in it",
    )
    vad_filter: bool | None = Field(
        False, description="No effect: speech is detected as the server's setting VAD says"
    )
    word_timestamps: bool = Field(
        False, description="`true`: the segments of `json` have `words` with their times"
    )
    output: Output = Field("txt", description="The format of the answer")


class DetectionQuery(FileQuery, OneChannelParameters):
    """How the language is to be detected."""

    detect_lang_length: int | None = Field(
        None,
        ge=0,
        le=MOST_SECONDS,
        description="Subgen's: so many seconds of the file are looked at; 0 or unset: all",
    )
    detect_lang_offset: int | None = Field(
        None, ge=0, le=MOST_SECONDS, description="Subgen's: the file is looked at from here, in s"
    )

    @property
    def part(self) -> AudioPart | None:
        """The part of the file that is looked at; None: all of it."""
        start, length = self.detect_lang_offset or 0, self.detect_lang_length or None
        if not start and length is None:
            return None
        return AudioPart(start, None if length is None else start + length)


class AudioFileForm(BaseModel):
    """A multipart form with the audio file."""

    audio_file: bytes = Field(
        description="The audio file; also as the part `file`",
        json_schema_extra={"format": "binary"},
    )


class DetectedLanguage(BaseModel):
    """The language of the first window that is not silent; `und` if there is no such window."""

    detected_language: str = Field(description="The language's English name", examples=["english"])
    language_code: str = Field(examples=["en"])
    confidence: float = Field(description="Its probability", examples=[0.98])


class WhisperAsrProblem(BaseModel):
    """Any failure; a list where a field is missing or of the wrong kind."""

    detail: str | list[FieldProblem]
