"""The service's own dialect: `/asr`, and the routes that belong to no other dialect."""

from asr.api import health, language
from asr.api.native import openapi, routes
from asr.http.dialect import Dialect, Route

DIALECT = Dialect(
    prefixes=("",),
    routes=(
        Route("POST", "/asr", routes.transcribe, openapi.transcription),
        Route("POST", "/detect-language", language.detect, openapi.detection),
        Route("GET", "/hc", health.hc, health.hc_operation),
        Route("GET", "/health", health.health, health.health_operation),
        Route("GET", "/metrics", health.metrics, health.metrics_operation),
    ),
)
