"""A request's place in the queue of those that are answered at once; a job's needs none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from asr.errors import EngineDead, QueueFull
from asr.transcription.scheduler import Scheduler

Fields = Mapping[str, object]
IsForLater = Callable[[Fields], bool]  # whether a request with these fields becomes a job

BOOLEAN = TypeAdapter(bool)
FIELD_TYPES = {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}
SMALL_BYTES = 64 * 1024  # A body of another type may be a JSON object, if it has no more bytes.


class QueuePlace:
    """The place of one request, taken as soon as it is known to need one.

    Args:
        is_for_later: whether it becomes a job; a function tells that by its fields.
    """

    def __init__(self, scheduler: Scheduler, is_for_later: bool | IsForLater) -> None:
        self._scheduler = scheduler
        self._is_for_later = is_for_later
        self._held = contextlib.ExitStack()
        self._is_taken = self._is_settled = False

    @contextlib.contextmanager
    def taken(self, request: web.Request) -> Iterator[None]:
        """Take it by the head of the request, and hold it at most during the block.

        Where the body may say that it is a job's, a full queue waits for `settle`.

        Raises:
            QueueFull, EngineDead: there is no place, or no engine.
        """
        with self._held:
            if self._is_job(request.query):
                self._is_settled = True
            elif callable(self._is_for_later) and _may_have_fields(request):
                with contextlib.suppress(QueueFull, EngineDead):
                    self._take()
            else:
                self._take()
            yield

    def settle(self, fields: Fields) -> None:
        """Take it, or give it back, now that the fields of the request are known.

        Raises:
            QueueFull, EngineDead: there is no place, or no engine.
        """
        if self._is_settled:
            return
        self._is_settled = True
        if self._is_job(fields):
            self._held.close()
        elif not self._is_taken:
            self._take()

    def reassign(self, is_for_later: bool | IsForLater) -> None:
        """Know that the request is another route's, whose fields may still be read.

        Raises:
            QueueFull, EngineDead: it is to be answered at once, and cannot be.
        """
        self._is_for_later, self._is_settled = is_for_later, False
        if not callable(is_for_later):
            self.settle({})

    def _is_job(self, fields: Fields) -> bool:
        later = self._is_for_later
        return later(fields) if callable(later) else later

    def _take(self) -> None:
        self._held.enter_context(self._scheduler.expect())
        self._is_taken = True


def is_true(value: object) -> bool:
    """Whether a field that is not validated yet says yes."""
    try:
        return BOOLEAN.validate_python(value)
    except ValidationError:
        return False


def _may_have_fields(request: web.Request) -> bool:
    if request.content_type in FIELD_TYPES:
        return True
    length = request.content_length
    return length is not None and length <= SMALL_BYTES
