"""How one family of clients is answered: paths, routes, the shape and status of failures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import pydantic
from aiohttp import web
from pydantic import BaseModel, Field

from asr.errors import Failure, Invalid
from asr.http.invalid_fields import invalid_fields
from asr.http.openapi import Json
from asr.http.queue_place import IsForLater
from asr.jobs.job import Job
from asr.transcript import Transcript

FORM = "multipart/form-data"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Of a job that has ended, with its transcript if it was completed.
WebhookBody = Callable[[Job, Transcript | None], Mapping[str, object]]


class Problem(BaseModel):
    """Any failure: what went wrong and what to do about it."""

    error: str = Field(examples=["the body is empty: send the bytes of an audio file"])


def problem(failure: Failure) -> Json:
    """A failure in the shape of the service's own routes."""
    return {"error": failure.message}


@dataclass(frozen=True)
class Route:
    """One handler and the paths that lead to it."""

    method: str
    path: str  # after the dialect's prefix
    handler: Handler
    operation: Callable[[], Json] | None = None  # OpenAPI's Operation Object; None: undocumented
    aliases: tuple[str, ...] = ()  # other paths of the same handler, after the prefix
    is_for_later: bool | IsForLater = False  # It becomes a job: a full queue refuses none.
    is_live: bool = False  # It opens a WebSocket: its key may come as browsers send it.


@dataclass(frozen=True)
class Marks:
    """What tells a dialect's requests from those of another one that has the same path.

    One of them is enough. They count for forms, and for requests without a body.
    """

    query: frozenset[str] = frozenset()  # names of the query
    files: frozenset[str] = frozenset()  # names of a form's file

    def are_on(self, request: web.BaseRequest) -> bool:
        """Whether a mark is in the head of `request`; its body is not read."""
        if request.body_exists and request.content_type != FORM:
            return False
        return not self.query.isdisjoint(request.query)


@dataclass(frozen=True)
class Dialect:
    """What the server must know of a family of clients; `server/app.py` lists them all."""

    # What its paths begin with, such as "/v1/"; the first is documented. None: the paths of its
    # routes are whole, and no other path is its own.
    prefixes: tuple[str, ...]
    routes: tuple[Route, ...]
    problem: Callable[[Failure], Json] = problem  # a failure → the JSON that tells of it
    invalid_status: int = Invalid.status  # of a field that is missing or of the wrong kind
    name: str = ""  # of those dialects whose jobs have webhooks; a job keeps it
    webhook_body: WebhookBody | None = None  # what those webhooks say
    webhooks: Callable[[], Json] | None = None  # OpenAPI's Path Items of them, by event
    marks: Marks | None = None  # of its requests on paths that another dialect has too

    def paths(self, route: Route) -> list[str]:
        """All paths of `route`, the documented one first."""
        names = (route.path, *route.aliases)
        return [prefix + name for prefix in self.prefixes or ("",) for name in names]

    def claim(self, path: str) -> int:
        """How many characters of `path` are its own: of a prefix or a route; -1: it is not."""
        claims = [len(prefix) for prefix in self.prefixes if path.startswith(prefix)]
        for route in self.routes:
            for own in self.paths(route):
                fixed, variable, _ = own.partition("{")
                if path.startswith(fixed) if variable else path == own:
                    claims.append(len(fixed))
        return max(claims, default=-1)

    def invalid(self, error: pydantic.ValidationError) -> Failure:
        """The failure that names every field which `error` names."""
        found = invalid_fields(error)
        parts = [f"{'.'.join(each.place) or 'body'}: {each.reason}" for each in found]
        message = "; ".join(parts) + "; see /docs for what is accepted"
        param = next(iter(found[0].place), None)
        return Failure(self.invalid_status, Invalid.code, message, param, fields=tuple(found))


# The dialect that the body of a request belongs to, where its head does not tell.
BODY_DIALECT = web.RequestKey("BODY_DIALECT", Dialect)


def dialect_of(
    path: str, dialects: Sequence[Dialect], request: web.BaseRequest | None = None
) -> Dialect:
    """The dialect that claims most of `path`; of several, the one whose marks the request has.

    Args:
        dialects: one of them has the empty prefix, for the paths that no other claims.
        request: None: it cannot be read, and has no marks.
    """
    claims = [dialect.claim(path) for dialect in dialects]
    claimants = [each for each, claim in zip(dialects, claims, strict=True) if claim == max(claims)]
    if request is not None:
        known: Dialect | None = request.get(BODY_DIALECT)
        if known is not None and known in claimants:
            return known
        for dialect in claimants:
            if dialect.marks is not None and dialect.marks.are_on(request):
                return dialect
    return next((each for each in claimants if each.marks is None), claimants[0])
