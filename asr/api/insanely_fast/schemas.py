"""The JSON that goes in and out; requests are validated and documented by these models."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from asr.api.jigsaw import JigsawParameters
from asr.http.parameters import Location
from asr.options import Timestamps

Granularity = Literal["segment", "word"]
Text = Annotated[str, Field(max_length=2000)]

WEBHOOK_CHARS = 16_384  # A webhook's JSON in a form's field may have so many characters.
MOST_HEADERS = 50  # A webhook may have so many headers.
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, section 5.6.2
HEADER_VALUE = re.compile(r"[\x20-\x7e\x80-\U0010ffff]*")


def _webhook(value: object) -> object:
    """An object as it is; of a text, the JSON object in it, or the URL that it is."""
    if not isinstance(value, str):
        return value
    if len(value) > WEBHOOK_CHARS:
        raise PydanticCustomError("webhook", f"must have at most {WEBHOOK_CHARS} characters")
    if not value.lstrip().startswith("{"):
        return {"url": value.strip()}
    try:
        return json.loads(value)
    except (ValueError, RecursionError):  # the latter: nested too deep
        raise PydanticCustomError("webhook", "must be a URL or a JSON object") from None


def _web_address(value: str) -> str:
    if not re.match(r"https?://[^/]", value, re.IGNORECASE):
        raise PydanticCustomError("webhook", "must begin with http:// or https://")
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    if len(value) > MOST_HEADERS:
        raise PydanticCustomError("webhook", f"must have at most {MOST_HEADERS} headers")
    if not all(HEADER_NAME.fullmatch(name) for name in value):
        raise PydanticCustomError("webhook", "has a name that no header can have")
    if not all(HEADER_VALUE.fullmatch(text) for text in value.values()):
        raise PydanticCustomError("webhook", "has a value that no header can have")
    return value


def _granularity(value: object) -> object:
    """Of a list, its finest value."""
    if isinstance(value, list) and value:
        return "word" if "word" in value else value[0]
    return value


class TaskWebhook(BaseModel):
    """Who is told of a task's end, by a POST."""

    url: Annotated[Text, AfterValidator(_web_address)] = Field(
        examples=["https://example.com/transcribed"]
    )
    header: Annotated[dict[str, Text], AfterValidator(_headers)] = Field(
        {}, description="Headers of the POST"
    )


class TaskParameters(JigsawParameters):
    """How audio is to be transcribed, and who is told of its text."""

    timestamp: Literal["chunk", "word"] = Field(
        "chunk", description="One chunk for each segment or for each word"
    )
    timestamp_granularities: Annotated[Granularity | None, BeforeValidator(_granularity)] = Field(
        None, description="`word`: the same as `timestamp`: `word`"
    )
    webhook: Annotated[TaskWebhook | None, BeforeValidator(_webhook)] = Field(
        None,
        description=(
            "Who is told of the task's end: an object, or its URL; in a form, the object as JSON"
        ),
    )
    is_async: bool = Field(
        False, description="Answer at once and tell the webhook of the text, which is then needed"
    )
    managed_task_id: str | None = Field(
        None,
        description="The task's id; unset: a new one. Repeated with the same body, it is the "
        "same task",
    )

    @property
    def timestamps(self) -> Timestamps:
        return "word" if "word" in (self.timestamp, self.timestamp_granularities) else "segment"


class TaskRequest(TaskParameters, Location):
    """A JSON object with the URL or path of the audio."""


class TaskForm(TaskParameters):
    """A multipart form with the audio file."""

    audio: bytes = Field(
        description="The audio file; also as the part `file`",
        json_schema_extra={"format": "binary"},
    )


class TaskChunk(BaseModel):
    timestamp: tuple[float, float] = Field(
        description="Start and end, in seconds from the start of the audio", examples=[(0.0, 2.1)]
    )
    text: str = Field(examples=[" hello world"])


class TaskOutput(BaseModel):
    text: str = Field(description="The whole text; empty for silence", examples=[" hello world"])
    chunks: list[TaskChunk]


class CompletedTask(BaseModel):
    output: TaskOutput
    status: Literal["completed"]
    task_id: str
    fly_machine_id: str | None = Field(None, description="FLY_MACHINE_ID, where it is set")


class FieldProblem(BaseModel):
    type: str = Field(examples=["missing"])
    loc: list[str] = Field(examples=[["body", "url"]])
    msg: str = Field(examples=["is missing"])


class TaskProblem(BaseModel):
    """Any failure; a list where fields are missing or of the wrong kind."""

    detail: str | list[FieldProblem]
