"""Posts webhooks past the address guard, and checks where and with which headers."""

from __future__ import annotations

import asyncio
import email.utils
import io
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from asr.errors import AsrError, BadRequest, BadUrl
from asr.outbound.address_guard import NotPublic
from asr.outbound.fetch import Outbound, checked_url, failure_reason, not_public
from asr.resources.exhaustion import run_out

MOST_HEADERS = 50  # A webhook with more headers of its own is refused.
HEADER_CHARS = 8_192  # Names and values of its headers may have so many characters together.
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")  # Anything else could end the line, or be misread.
OWN_HEADERS = re.compile(  # They are the connection's, the body's or the signature's.
    r"(webhook|proxy|sec)-.*|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|"
    r"expect|content-(length|encoding)",
    re.IGNORECASE,
)
RETRY_AFTER = re.compile(r"\d{1,9}")  # Seconds of more digits are no reasonable wait.


@dataclass(frozen=True)
class WebhookAnswer:
    """What one attempt to post a webhook came to."""

    status: int | None  # of the answer; None: there was none, or nothing could be sent
    reason: str = ""  # why there is no status
    retry_after: float | None = None  # seconds; the far server's wish, not bounded
    is_refused: bool = False  # by us: it would not be sent at another time either


class WebhookSender:
    """Posts webhooks, each within a time limit.

    A redirect is an answer and not followed, as with Svix: Standard Webhooks counts each 3xx as
    a failure that a new URL repairs, and most clients would make a GET of the POST. So a
    redirect can lead to no private address either.
    """

    def __init__(self, outbound: Outbound, timeout_s: float) -> None:
        self._outbound = outbound
        self._timeout_s = timeout_s  # seconds for the whole attempt

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """Send `body` once; status and headers are the answer, and its body is not read."""
        once = {**headers, "Connection": "close"}  # a kept connection may have just been closed
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._outbound.post(url, once, io.BytesIO(body)) as response,
            ):
                wait = _retry_after(response.headers.get("Retry-After", ""))
                return WebhookAnswer(response.status, retry_after=wait)
        except AsrError as error:
            return WebhookAnswer(None, error.message, is_refused=True)
        except aiohttp.ServerTimeoutError:
            return WebhookAnswer(None, "its server accepts no connection: check its name and port")
        except TimeoutError:
            limit = f"WEBHOOK_TIMEOUT_S={self._timeout_s:g}"
            return WebhookAnswer(None, f"no answer came within {limit} seconds")
        except aiohttp.ClientError as error:
            return _unanswered(url, error)


def check_target(url: str, headers: Mapping[str, str], allow_private: bool) -> None:
    """Check where a webhook is to be sent, as far as that can be told without asking anybody.

    Raises:
        BadUrl, Forbidden, BadRequest: it could never be sent.
    """
    target = checked_url(url, allow_private)
    if target.user is not None or target.password is not None:
        raise BadUrl("the webhook's URL holds a user or password: send a header instead")
    if len(headers) > MOST_HEADERS:
        raise BadRequest(
            f"the webhook has {len(headers)} headers, the limit is {MOST_HEADERS}", "webhook"
        )
    if sum(map(len, [*headers, *headers.values()])) > HEADER_CHARS:
        raise BadRequest(
            f"the webhook's headers have more than {HEADER_CHARS} characters", "webhook"
        )
    for name, value in headers.items():
        _check_header(name, value)


def _check_header(name: str, value: str) -> None:
    if not HEADER_NAME.fullmatch(name):
        raise BadRequest("a name of the webhook's headers is not a header's name", "webhook")
    if OWN_HEADERS.fullmatch(name):
        raise BadRequest(
            f"the webhook's header {name} is set by this server alone: leave it out", "webhook"
        )
    if not HEADER_VALUE.fullmatch(value):
        raise BadRequest(
            f"the webhook's header {name} has a line break or a character outside ASCII", "webhook"
        )


def _unanswered(url: str, error: aiohttp.ClientError) -> WebhookAnswer:
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, NotPublic):
            return WebhookAnswer(None, not_public(url).message, is_refused=True)
        if (exhausted := run_out(error.os_error, "it cannot be sent now")) is not None:
            return WebhookAnswer(None, exhausted.message)
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return WebhookAnswer(None, "its host is not known: check its name")
    if isinstance(error, aiohttp.InvalidURL):
        return WebhookAnswer(None, "its URL has no host that can be reached", is_refused=True)
    if isinstance(error, aiohttp.ClientResponseError):  # its text may quote the answer
        return WebhookAnswer(None, "its server's answer is no HTTP")
    return WebhookAnswer(None, failure_reason(error))


def _retry_after(value: str) -> float | None:
    """The seconds that a header asks to wait for; RFC 9110 §10.2.3."""
    if RETRY_AFTER.fullmatch(value.strip()):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
