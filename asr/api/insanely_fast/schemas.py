"""The JSON that goes in and out; requests are validated and documented by these models."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from asr.api.fastapi_problem import FieldProblem
from asr.api.jigsaw import DiarizedOutput, JigsawParameters, PipelineOutput, SplitOutput
from asr.http.parameters import Location
from asr.options import Timestamps

Granularity = Literal["segment", "word"]
WEBHOOK_CHARS = 16_384  # A webhook's JSON in a form's field may have so many characters.


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


def _granularity(value: object) -> object:
    """Of a list, its finest value."""
    if isinstance(value, list) and value:
        return "word" if "word" in value else value[0]
    return value


class TaskWebhook(BaseModel):
    """Who is told of a task's end, by a POST."""

    url: str = Field(examples=["https://example.com/transcribed"])
    header: dict[str, str] = Field({}, description="Headers of the POST")


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


class CompletedTask(BaseModel):
    output: PipelineOutput | DiarizedOutput | SplitOutput
    status: Literal["completed"]
    task_id: str
    fly_machine_id: str | None = Field(None, description="FLY_MACHINE_ID, where it is set")


class FailedTask(BaseModel):
    """What the webhook of a task without an output is told."""

    error: str
    status: Literal["error", "cancelled"]
    task_id: str
    fly_machine_id: str | None = Field(None, description="FLY_MACHINE_ID, where it is set")


class BackgroundTask(BaseModel):
    """The answer where the text is sent to the webhook."""

    detail: str = Field(examples=["Task is being processed in the background"])
    status: Literal["processing", "completed", "error", "cancelled"]
    task_id: str
    fly_machine_id: str | None = Field(None, description="FLY_MACHINE_ID, where it is set")


class Tasks(BaseModel):
    tasks: list[str] = Field(description="Ids of the tasks that are processed, oldest first")


class TaskStatus(BaseModel):
    status: Literal["processing", "completed", "error", "cancelled"]
    output: PipelineOutput | DiarizedOutput | SplitOutput | None = Field(
        None, description="Of a completed task"
    )
    error: str | None = Field(None, description="Why the task has no output")


class TaskProblem(BaseModel):
    """Any failure; a list where fields are missing or of the wrong kind."""

    detail: str | list[FieldProblem]
