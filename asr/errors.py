"""Defines every failure that a caller may see, with HTTP status and stable code.

AsrError
├── CallerError                     the caller can correct it
│   ├── BadRequest            400   a parameter or a body that cannot be understood
│   ├── BadAudio              400   bytes that no decoder can read as audio
│   ├── BadUrl                400   an address that cannot be fetched as it stands
│   ├── Unauthorized          401   the API key is missing or wrong
│   ├── Forbidden             403   a path or an address that is not allowed here
│   ├── NotFound              404   there is nothing at the URL or path
│   ├── BodyTimeout           408   the body arrived too slowly
│   ├── NotCompleted          409   the job has no result, or has not ended
│   ├── TooLarge              413   more bytes or seconds than a limit allows
│   ├── UnsupportedMedia      415   a content type or encoding that is never audio
│   ├── WrongHost             421   a host name that the server does not answer for
│   ├── Invalid               422   a field that fails its schema
│   ├── IdConflict            422   a job's id that another request has used
│   ├── UpgradeRequired       426   a request to a WebSocket's URL that does not open one
│   ├── QueueFull             429   too much audio is waiting; carries `retry_after`
│   ├── TooManyRequests       429   a client has too many in flight; carries `retry_after`
│   ├── TooManySessions       429   too many live sessions are open; carries `retry_after`
│   └── Overloaded            429   a live session's audio comes faster than it is read
└── ServerError                     the fault of this server or of a far one
    ├── TranscriptionFailed   500   the model failed on this audio
    ├── DiarizationFailed     500   the diarizer failed on this audio
    ├── DecoderFailed         500   the audio decoder was killed, hung or ended without a reason
    ├── UploadMissing         500   a job's audio is not where this server looks for it
    ├── FetchFailed           502   the far server closed the connection or answered an error
    ├── EngineDead            503   the engine has ended; the process must be restarted
    ├── DiarizerUnavailable   503   the diarizer cannot be loaded
    ├── ShuttingDown          503   the process is about to end and accepts no more requests
    ├── StoreUnavailable      503   the job store does not answer; carries `retry_after`
    ├── OutOfResources        503   descriptors, processes or memory; carries `retry_after`
    ├── StorageFailed         503   temporary files cannot be written
    ├── FetchTimeout          504   the far server was too slow
    └── StorageFull           507   the disk of temporary files is full
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

RETRY_SECONDS = 5.0  # Where nothing tells when there will be room, a caller is to wait so long.

CLIENT_RETRY_SECONDS = 1.0  # A client with too many requests in flight is to wait so long.


def spread(seconds: float) -> float:
    """Lengthen a wait at random by up to a half: who is refused together comes back apart."""
    return seconds * random.uniform(1.0, 1.5)


class AsrError(Exception):
    """A failure with an HTTP `status` and a `code` that clients may rely on."""

    status = 500
    code = "internal_error"
    retry_after: float | None = None  # seconds after which the same request may succeed

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param  # the name of the parameter at fault, if there is one


class CallerError(AsrError):
    status = 400
    code = "bad_request"


class BadRequest(CallerError):
    pass


class BadAudio(CallerError):
    code = "bad_audio"


class BadUrl(CallerError):
    code = "bad_url"


class Unauthorized(CallerError):
    status = 401
    code = "unauthorized"


class Forbidden(CallerError):
    status = 403
    code = "forbidden"


class NotFound(CallerError):
    status = 404
    code = "not_found"


class BodyTimeout(CallerError):
    status = 408
    code = "body_timeout"


class NotCompleted(CallerError):
    status = 409
    code = "not_completed"


class TooLarge(CallerError):
    status = 413
    code = "too_large"


class UnsupportedMedia(CallerError):
    status = 415
    code = "unsupported_media"


class WrongHost(CallerError):
    status = 421
    code = "wrong_host"


class Invalid(CallerError):
    status = 422
    code = "invalid"


class IdConflict(CallerError):
    status = 422
    code = "id_conflict"


class UpgradeRequired(CallerError):
    status = 426
    code = "upgrade_required"


class QueueFull(CallerError):
    status = 429
    code = "queue_full"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyRequests(CallerError):
    status = 429
    code = "too_many_requests"

    def __init__(self, client: str, limit: int) -> None:
        wait = spread(CLIENT_RETRY_SECONDS)
        super().__init__(
            f"{client} has as many requests in flight as it may have at once ({limit}): wait until "
            f"one is answered, or try again in {math.ceil(wait)} s"
        )
        self.retry_after = wait


class TooManySessions(CallerError):
    status = 429
    code = "too_many_sessions"

    def __init__(self, limit: int) -> None:
        wait = spread(RETRY_SECONDS)
        super().__init__(
            f"{limit} live sessions are open, as many as MAX_LIVE_SESSIONS allows: try again in "
            f"{math.ceil(wait)} s"
        )
        self.retry_after = wait


class Overloaded(CallerError):
    status = 429
    code = "overloaded"


class ServerError(AsrError):
    pass


class TranscriptionFailed(ServerError):
    code = "transcription_failed"


class DiarizationFailed(ServerError):
    code = "diarization_failed"


class DecoderFailed(ServerError):
    code = "decoder_failed"


class UploadMissing(ServerError):
    code = "upload_missing"


class FetchFailed(ServerError):
    status = 502
    code = "fetch_failed"


class EngineDead(ServerError):
    status = 503
    code = "engine_dead"


class DiarizerUnavailable(ServerError):
    status = 503
    code = "diarizer_unavailable"


class ShuttingDown(ServerError):
    status = 503
    code = "shutting_down"


class OutOfResources(ServerError):
    status = 503
    code = "out_of_resources"

    def __init__(self, what: str) -> None:
        wait = spread(RETRY_SECONDS)
        super().__init__(
            f"{what}: the server has too much to do at once, try again in {math.ceil(wait)} s"
        )
        self.retry_after = wait


class StoreUnavailable(ServerError):
    status = 503
    code = "store_unavailable"

    def __init__(self, reason: str, changed_nothing: bool = False) -> None:
        self.changed_nothing = changed_nothing  # False: what was asked may have been done
        wait = spread(RETRY_SECONDS)
        super().__init__(
            f"the job store does not answer ({reason}): nothing was kept, try again in "
            f"{math.ceil(wait)} s"
        )
        self.retry_after = wait


class StorageFailed(ServerError):
    status = 503
    code = "storage_failed"


class FetchTimeout(ServerError):
    status = 504
    code = "fetch_timeout"


class StorageFull(ServerError):
    status = 507
    code = "storage_full"


@dataclass(frozen=True)
class InvalidField:
    """What is wrong with a field of a request."""

    place: tuple[str, ...]  # from the field to the problem, such as ("languages", "0")
    reason: str
    kind: str  # pydantic's, such as "missing"


@dataclass(frozen=True)
class Failure:
    """A failure as a caller sees it; each dialect writes it in its own shape."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after: float | None = None  # seconds
    fields: tuple[InvalidField, ...] = ()  # all those of which the message tells
    request_id: str = ""  # of the request that failed, where it has one

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Describe `error` for a caller; one that is not ours shows no details."""
        if not isinstance(error, AsrError):
            text = "the server failed: its log has the details under this request id"
            return cls(500, AsrError.code, text)
        return cls(error.status, error.code, error.message, error.param, error.retry_after)


class ConfigError(ValueError):
    """A setting whose value cannot be used."""
