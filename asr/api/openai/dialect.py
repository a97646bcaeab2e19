"""OpenAI's dialect: its routes under both prefixes, and its failures."""

from asr.api import language, speakers
from asr.api.openai import openapi, routes
from asr.api.openai.problem import INVALID_STATUS, problem
from asr.api.openai.realtime import client_secrets
from asr.api.openai.realtime import openapi as live_openapi
from asr.api.openai.realtime import routes as live
from asr.http.dialect import Dialect, Route

DIALECT = Dialect(
    prefixes=("/v1/", "/api/v1/"),
    routes=(
        Route("POST", "audio/transcriptions", routes.transcriptions, openapi.transcription),
        Route("POST", "audio/translations", routes.translations, openapi.translation),
        Route(
            "POST",
            "audio/language",
            language.detect,
            openapi.detection,
            aliases=("audio/detect-language",),
        ),
        Route(
            "POST",
            "audio/speakers",
            speakers.tell_apart,
            openapi.speakers,
            aliases=("audio/diarization",),
        ),
        Route("GET", "realtime", live.connect, live_openapi.live, is_live=True),
        Route(
            "POST",
            "realtime/client_secrets",
            client_secrets.create,
            live_openapi.client_secret,
            is_for_later=True,
        ),
        Route("GET", "models", routes.models, openapi.models),
        Route("GET", "models/{id:.+}", routes.model, openapi.model),
    ),
    problem=problem,
    invalid_status=INVALID_STATUS,
)
