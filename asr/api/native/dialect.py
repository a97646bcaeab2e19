"""The service's own dialect: `/asr`, and the routes that belong to no other dialect."""

from asr.api import health, language
from asr.api.native import openapi, routes
from asr.http.dialect import Dialect, Route
from asr.http.queue_place import Fields, is_true


def _is_job(fields: Fields) -> bool:
    return any(is_true(fields.get(name)) for name in ("async", "is_async"))


DIALECT = Dialect(
    prefixes=("",),
    routes=(
        Route("POST", "/asr", routes.transcribe, openapi.transcription, is_for_later=_is_job),
        Route("POST", "/detect-language", language.detect, openapi.detection),
        Route("GET", "/hc", health.hc, health.hc_operation),
        Route("GET", "/health", health.health, health.health_operation),
        Route("GET", "/metrics", health.metrics, health.metrics_operation),
    ),
)
