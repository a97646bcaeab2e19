"""A caller's connection: what comes over it and is no HTTP is answered as JSON too."""

from __future__ import annotations

import uuid

from aiohttp import web

from asr.api.native.routes import problem
from asr.errors import Failure

MESSAGE_CHARS = 300


class Connection(web.RequestHandler):
    """Nothing is known of such a request, its path neither: it gets the shape of `/asr`."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what no handler saw; the connection ends with it."""
        super().handle_error(request, status, exc, message)  # logs it
        reason = " ".join((message or "it cannot be parsed").split())[:MESSAGE_CHARS]
        failure = Failure.of(RuntimeError(reason))
        if status == 400:
            failure = Failure(400, "bad_request", f"this is no HTTP request: {reason}")
        response = web.json_response(
            problem(failure), status=status, headers={"X-Request-ID": uuid.uuid4().hex}
        )
        response.force_close()
        return response
