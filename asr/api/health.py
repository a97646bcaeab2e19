"""`/hc`, `/health` and `/metrics`."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

import asr
from asr.http import openapi
from asr.http.app_keys import ENGINE, LIVE, METRICS, SCHEDULER, SPOOL_CHECK
from asr.http.dialect import Problem
from asr.http.openapi import PROBLEMS, SECURITY, TEXT, Json

TAGS = ["Health"]


class Health(BaseModel):
    status: str = Field(examples=["ok"])
    version: str
    error: str | None = Field(None, description="Why the engine has ended")
    warnings: list[str] | None = Field(
        None, description="What does not work although the server is ready"
    )
    engine: dict[str, object] | None = Field(
        None, description="With `verbose=1`: model, hardware, languages"
    )
    live_sessions: int | None = Field(None, description="With `verbose=1`: how many are open")


async def hc(request: web.Request) -> web.Response:
    """Ready, or why not; a probe that sees 503 should replace the instance."""
    failure = request.app[SCHEDULER].failure
    answer = Health(status="error" if failure else "ok", version=asr.__version__, error=failure)
    if problem := request.app[SPOOL_CHECK].problem():
        answer.warnings = [f"large uploads are refused: {problem}"]
    if request.query.get("verbose") == "1":
        answer.engine = asdict(request.app[ENGINE].info)
        answer.live_sessions = request.app[LIVE].count
    body = answer.model_dump_json(exclude_none=True)
    return web.json_response(text=body, status=503 if failure else 200)


async def health(request: web.Request) -> web.Response:
    return web.Response(status=503 if request.app[SCHEDULER].failure else 200)


async def metrics(request: web.Request) -> web.Response:
    text = generate_latest(request.app[METRICS].registry)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def hc_operation() -> Json:
    answer = {"content": {"application/json": openapi.content(Health)}}
    return {
        "tags": TAGS,
        "summary": "Ready to transcribe",
        "operationId": "hc",
        "description": (
            "The port is closed until the model is loaded and has transcribed a test window."
        ),
        "parameters": [
            {
                "name": "verbose",
                "in": "query",
                "description": "`1` adds `engine`: model, hardware, languages; and `live_sessions`",
                "schema": {"type": "string", "enum": ["0", "1"]},
            }
        ],
        "responses": {
            "200": {"description": "Ready", **answer},
            "503": {"description": PROBLEMS[503], **answer},
        },
    }


def health_operation() -> Json:
    return {
        "tags": TAGS,
        "summary": "Ready, without a body",
        "operationId": "health",
        "responses": {
            "200": {"description": "Ready"},
            "503": {"description": "The engine has ended"},
        },
    }


def metrics_operation() -> Json:
    return {
        "tags": TAGS,
        "summary": "Metrics in the Prometheus format",
        "operationId": "metrics",
        "responses": {
            "200": {"description": "Counters and histograms", "content": {"text/plain": TEXT}},
            "401": openapi.problem(PROBLEMS[401], Problem),
        },
        "security": SECURITY,
    }
