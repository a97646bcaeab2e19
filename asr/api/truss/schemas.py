"""The JSON that goes in and out; requests are validated and documented by these models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from asr.api.jigsaw import DiarizedOutput, JigsawParameters, PipelineOutput, SplitOutput
from asr.http.parameters import AudioFile, Location
from asr.options import Timestamps

MISSPELT = "work"  # The original's documentation has this for "word"; there it gives chunks.


def _timestamp(value: object) -> object:
    """Of a text, its lower-case letters: the original's default is `Chunk`."""
    return value.lower() if isinstance(value, str) else value


class PredictParameters(JigsawParameters):
    """How audio is to be transcribed; null, 0 and empty values count as not sent."""

    chunk_length_s: float = Field(
        30, allow_inf_nan=False, description="No effect: windows are cut at pauses"
    )
    timestamp: Annotated[Literal["chunk", "word", "work"], BeforeValidator(_timestamp)] = Field(
        "chunk", description="One chunk for each segment or for each word; `work` is `chunk`"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_zeros(cls, fields: object) -> object:
        if not isinstance(fields, dict):
            return fields
        return {
            name: value
            for name, value in fields.items()
            if value or (name == "channels" and value == 0)  # there is a channel 0
        }

    @property
    def timestamps(self) -> Timestamps:
        return "word" if self.timestamp == "word" else "segment"

    @property
    def warnings(self) -> list[str]:
        """What of the request may not mean what the caller thinks, a sentence each."""
        if self.timestamp != MISSPELT:
            return []
        return ["timestamp 'work' gives chunks, as on Truss: send 'word' for words"]


class PredictRequest(PredictParameters, Location):
    """A JSON object with the URL or path of the audio."""


class PredictForm(PredictParameters, AudioFile):
    """A multipart form with the audio file."""


class AsyncRequest(BaseModel):
    """A prediction whose output is sent to a webhook."""

    model_input: dict[str, Any] = Field(description="The JSON of `/predict`")
    webhook_endpoint: str | None = Field(
        None,
        description="URL that the output is posted to; unset: only `/jobs` and `/status` have it",
        examples=["https://example.com/transcribed"],
    )
    priority: int = Field(0, ge=0, le=2, description="Those with 0 are done first, 2 last")


class AsyncAnswer(BaseModel):
    request_id: str


class PredictProblem(BaseModel):
    """Any failure; its status is 200 too where the server has TRUSS_ERRORS_AS_200."""

    error: Literal[True]
    detail: str


class PredictionError(BaseModel):
    code: str
    message: str


class EndedPrediction(BaseModel):
    """What a webhook is told, in Baseten's shape."""

    request_id: str
    model_id: str
    deployment_id: str
    type: Literal["async_request_completed"]
    time: str = Field(description="When it ended", examples=["2026-11-29T17:30:00.000Z"])
    data: PipelineOutput | DiarizedOutput | SplitOutput | PredictProblem
    errors: list[PredictionError]
