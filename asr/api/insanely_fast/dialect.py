"""Insanely Fast Whisper's dialect: its routes, which have no prefix, and its failures."""

from asr.api.insanely_fast import openapi, routes
from asr.api.insanely_fast.problem import problem
from asr.http.dialect import Dialect, Route

DIALECT = Dialect(
    prefixes=(),
    routes=(Route("POST", "/", routes.create, openapi.creation, aliases=("/upload",)),),
    problem=problem,
)
