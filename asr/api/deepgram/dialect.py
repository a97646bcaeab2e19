"""Deepgram's dialect: one route, which is told from OpenAI's by its whole path."""

from asr.api.deepgram import openapi, routes, webhook
from asr.api.deepgram.problem import INVALID_STATUS, problem
from asr.http.dialect import Dialect, Route

DIALECT = Dialect(
    prefixes=(),
    routes=(
        Route(
            "POST",
            "/v1/listen",
            routes.listen,
            openapi.transcription,
            is_for_later=routes.is_job,
        ),
        Route("GET", "/v1/listen", routes.listen_live),
    ),
    problem=problem,
    invalid_status=INVALID_STATUS,
    name=webhook.NAME,
    webhook_body=webhook.webhook_body,
    webhooks=openapi.webhooks,
)
