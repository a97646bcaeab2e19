"""The routes of Insanely Fast Whisper's dialect, as the OpenAPI document describes them."""

from __future__ import annotations

from asr.api.insanely_fast.schemas import (
    BackgroundTask,
    CompletedTask,
    FailedTask,
    TaskForm,
    TaskProblem,
    TaskRequest,
    Tasks,
    TaskStatus,
)
from asr.errors import Invalid
from asr.http import openapi
from asr.http.openapi import ANSWER_HEADERS, PROBLEMS, SECURITY, Json, content, problem

TAGS = ["Insanely Fast Whisper"]
ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def creation() -> Json:
    problems = openapi.problems(TaskProblem, Invalid.status)
    cancelled = {"409": problem("The task was cancelled while the request waited", TaskProblem)}
    return {
        "tags": TAGS,
        "summary": "Transcribe audio, for Insanely Fast Whisper's clients",
        "operationId": "createTask",
        "description": (
            "Send a JSON object with the URL of the audio, or a multipart form with the part "
            "`audio` or `file`. With `is_async` the answer comes at once."
        ),
        "requestBody": openapi.audio_body(TaskRequest, TaskForm),
        "responses": {
            "200": {
                "description": "The text and its chunks; silence gives an empty text",
                "headers": openapi.headers(ANSWER_HEADERS),
                "content": {"application/json": content(CompletedTask, BackgroundTask)},
            },
            **dict(sorted({**problems, **cancelled}.items())),
        },
        "security": SECURITY,
    }


def tasks() -> Json:
    return {
        "tags": TAGS,
        "summary": "The tasks that are processed",
        "operationId": "listTasks",
        "responses": {
            "200": {
                "description": "Their ids",
                "content": {"application/json": content(Tasks)},
            },
            "401": problem(PROBLEMS[401], TaskProblem),
            "503": problem("The job store does not answer", TaskProblem),
        },
        "security": SECURITY,
    }


def status() -> Json:
    return {
        **_of_a_task("Where a task stands, and its output", TaskStatus),
        "operationId": "taskStatus",
    }


def cancellation() -> Json:
    operation = _of_a_task("Stop a task that was sent with `is_async`", TaskStatus)
    background = {"400": problem("A request waits for the task", TaskProblem)}
    return {
        **operation,
        "operationId": "cancelTask",
        "description": "Its webhook is told. Of a task that has ended, the answer is its status.",
        "responses": {"200": operation["responses"]["200"], **background, **operation["responses"]},
    }


def webhooks() -> Json:
    """What the `webhook` of a task is sent."""
    body = {"application/json": content(CompletedTask, FailedTask)}
    operation = {
        "tags": TAGS,
        "summary": "A task has ended",
        "description": "Sent to its `webhook`, with the headers of a job's webhook beside its own.",
        "requestBody": {"required": True, "content": body},
        "responses": {"2XX": {"description": "It is not sent again"}},
    }
    return {"task": {"post": operation}}


def _of_a_task(summary: str, answer: type[TaskStatus]) -> Json:
    return {
        "tags": TAGS,
        "summary": summary,
        "parameters": [ID],
        "responses": {
            "200": {
                "description": "Where the task stands",
                "content": {"application/json": content(answer)},
            },
            "401": problem(PROBLEMS[401], TaskProblem),
            "404": problem("There is no such task, or it is kept no longer", TaskProblem),
            "503": problem("The job store does not answer", TaskProblem),
        },
        "security": SECURITY,
    }
