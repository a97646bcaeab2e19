"""The dialect of JigsawStack's Truss: its routes, with and without Baseten's prefix."""

from asr.api.truss import openapi, routes, webhook
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
        Route(
            "POST",
            "/production/async_predict",
            routes.predict_later,
            openapi.later_prediction,
            aliases=("/async_predict",),
            is_for_later=True,
        ),
    ),
    problem=problem,
    name=webhook.NAME,
    webhook_body=webhook.webhook_body,
    webhooks=openapi.webhooks,
)
