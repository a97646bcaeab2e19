"""Leads the requests of a path that several dialects have, each to its own."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from asr.http.admission import admitted
from asr.http.app_keys import QUEUE_PLACE
from asr.http.bodies.first_file import first_file
from asr.http.dialect import BODY_DIALECT, FORM, Dialect, Handler, Route, dialect_of

Claimant = tuple[Dialect, Route]


def handler_of(claimants: Sequence[Claimant]) -> Handler:
    """Return the handler of a path, which refuses a request by its head where it can.

    Args:
        claimants: those who have the path; all but one have marks.
    """
    if len(claimants) == 1:
        [(_, route)] = claimants
        return admitted(route.handler, route.is_for_later)
    assert sum(dialect.marks is None for dialect, _ in claimants) == 1
    handlers = {
        dialect: admitted(
            _by_file(route, claimants) if dialect.marks is None else route.handler,
            route.is_for_later,
        )
        for dialect, route in claimants
    }

    async def lead(request: web.Request) -> web.StreamResponse:
        return await handlers[dialect_of(request.path, list(handlers), request)](request)

    return lead


def _by_file(default: Route, claimants: Sequence[Claimant]) -> Handler:
    """Return a handler that knows other dialects by the name of a form's file."""
    by_name = {
        name: (dialect, route)
        for dialect, route in claimants
        if dialect.marks is not None
        for name in dialect.marks.files
    }

    async def lead(request: web.Request) -> web.StreamResponse:
        name = await first_file(request) if request.content_type == FORM else None
        if name not in by_name:
            return await default.handler(request)
        request[BODY_DIALECT], route = by_name[name]
        request[QUEUE_PLACE].reassign(route.is_for_later)
        return await route.handler(request)

    return lead
