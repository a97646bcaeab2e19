"""The service's own dialect of jobs: submit, follow, cancel, fetch the result."""

from asr.api import job_submission
from asr.api.jobs import openapi, routes, webhook
from asr.http.dialect import Dialect, Route

DIALECT = Dialect(
    prefixes=("/jobs",),
    routes=(
        Route("POST", "", job_submission.post, openapi.submission, is_for_later=True),
        Route("GET", "", routes.page, openapi.page),
        Route("GET", "/{id}", routes.get, openapi.job),
        Route("DELETE", "/{id}", routes.cancel, openapi.cancel, is_for_later=True),
        Route("GET", "/{id}/result", routes.result, openapi.result),
        Route("GET", "/{id}/events", routes.events, openapi.events),
        Route("POST", "/{id}/redeliver", routes.redeliver, openapi.redeliver, is_for_later=True),
    ),
    name=job_submission.DIALECT,
    webhook_body=webhook.body,
    webhooks=openapi.webhooks,
)
