"""Insanely Fast Whisper's dialect: its routes, which have no prefix, and its failures."""

from asr.api.fastapi_problem import problem
from asr.api.insanely_fast import answers, openapi, routes
from asr.http.dialect import Dialect, Route

DIALECT = Dialect(
    prefixes=(),
    routes=(
        Route(
            "POST",
            "/",
            routes.create,
            openapi.creation,
            aliases=("/upload",),
            is_for_later=routes.is_job,
        ),
        Route("GET", "/tasks", routes.tasks, openapi.tasks),
        Route("GET", "/status/{id}", routes.status, openapi.status),
        Route("DELETE", "/cancel/{id}", routes.cancel, openapi.cancellation),
    ),
    problem=problem,
    name=answers.NAME,
    webhook_body=answers.webhook_body,
    webhooks=openapi.webhooks,
)
