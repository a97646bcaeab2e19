"""The dialect of JigsawStack's Truss: its routes, with and without Baseten's prefix."""

from asr.api.truss import openapi, routes
from asr.api.truss.problem import problem
from asr.http.dialect import Dialect, Route

DIALECT = Dialect(
    prefixes=(),
    routes=(
        Route(
            "POST",
            "/production/predict",
            routes.predict,
            openapi.prediction,
            aliases=("/predict",),
        ),
    ),
    problem=problem,
)
