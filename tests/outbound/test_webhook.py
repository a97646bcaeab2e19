"""Posting webhooks: what counts as an answer, what is refused, and what may be asked for."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import time
from collections.abc import AsyncIterator, Mapping

import pytest
from aiohttp.abc import AbstractResolver

from asr.errors import BadRequest, BadUrl, CallerError, Forbidden
from asr.outbound.fetch import FetchLimits, Outbound
from asr.outbound.webhook import WebhookAnswer, WebhookSender, check_target
from tests.conftest import free_port
from tests.support.origin import Names, Origin
from tests.support.receiver import (
    Receiver,
    break_off,
    endless_body,
    hang,
    redirect,
    slow_body,
    status,
)

NONE: Mapping[str, str] = {}


@contextlib.asynccontextmanager
async def sender(
    timeout_s: float = 20, allow_private: bool = True, resolver: AbstractResolver | None = None
) -> AsyncIterator[WebhookSender]:
    outbound = Outbound(FetchLimits(1, 1, allow_private), resolver)
    await outbound.open()
    yield WebhookSender(outbound, timeout_s)
    await outbound.close()


async def posted(url: str, **how: float) -> WebhookAnswer:
    async with sender(**how) as webhooks:
        return await webhooks.post(url, NONE, b"{}")


async def test_the_very_bytes_and_headers_arrive_once(receiver: Receiver) -> None:
    body = "é".encode() * 2**20
    async with sender() as webhooks:
        answer = await webhooks.post(receiver.url, {"X-Own": "mine", "Content-Type": "a/b"}, body)
    assert answer == WebhookAnswer(204)
    [received] = receiver.received
    assert received.body == body
    assert received.headers["X-Own"] == "mine"
    assert received.headers["Content-Type"] == "a/b"
    assert received.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("code", [200, 301, 308, 400, 410, 500])
async def test_a_status_is_an_answer_whatever_it_says(receiver: Receiver, code: int) -> None:
    receiver.answers = [redirect(receiver.url, code)]
    assert await posted(receiver.url) == WebhookAnswer(code)
    assert len(receiver.received) == 1


@pytest.mark.usefixtures("as_public")
@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data", "http://127.0.0.1:{port}/private"]
)
async def test_a_redirect_to_a_private_address_leads_nowhere(
    receiver: Receiver, location: str
) -> None:
    receiver.answers = [redirect(location.format(port=receiver.port))]
    names = Names(Origin.public)
    async with sender(allow_private=False, resolver=names) as webhooks:
        answer = await webhooks.post(f"http://a.example:{receiver.port}/hook", NONE, b"{}")
    assert answer == WebhookAnswer(307)
    assert [received.path for received in receiver.received] == ["/hook"]
    assert names.asked == ["a.example"]


async def test_a_private_address_is_refused_by_name_and_by_number(receiver: Receiver) -> None:
    async with sender(allow_private=False, resolver=Names("127.0.0.1")) as webhooks:
        for host in ("127.0.0.1", "[::1]", "169.254.169.254", "a.example"):
            answer = await webhooks.post(f"http://{host}:{receiver.port}/", NONE, b"{}")
            assert answer.is_refused, host
            assert "not public" in answer.reason
    assert receiver.received == []


async def test_a_name_that_leads_elsewhere_a_moment_later_changes_nothing(
    receiver: Receiver,
    as_public: None,  # noqa: ARG001
) -> None:
    names = Names(Origin.public, Origin.private)
    async with sender(allow_private=False, resolver=names) as webhooks:
        url = f"http://a.example:{receiver.port}/hook"
        assert (await webhooks.post(url, NONE, b"{}")).status == 204
        assert (await webhooks.post(url, NONE, b"{}")).is_refused
    assert len(receiver.received) == 1


@pytest.mark.parametrize("answer", [slow_body, endless_body])
async def test_the_answers_body_is_not_waited_for(receiver: Receiver, answer: object) -> None:
    receiver.answers = [answer]  # type: ignore[list-item]
    assert await posted(receiver.url) == WebhookAnswer(200)
    await receiver.until(lambda it: it.left == 1)  # the connection is closed


async def test_a_receiver_that_hangs_is_given_up(receiver: Receiver) -> None:
    receiver.answers = [hang]
    answer = await posted(receiver.url, timeout_s=0.2)
    assert answer == WebhookAnswer(None, "no answer came within WEBHOOK_TIMEOUT_S=0.2 seconds")
    await receiver.until(lambda it: it.left == 1)


async def test_what_is_no_answer_has_a_reason_in_plain_words(receiver: Receiver) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    receiver.answers = [break_off]
    mail = await asyncio.start_server(greet, "127.0.0.1", 0)
    reasons = {
        receiver.url: "closed the connection early",
        receiver.url.replace("http:", "https:"): "offers no TLS",
        f"http://127.0.0.1:{free_port()}/": "accepts no connection",
        "http://nobody.invalid/": "is not known",
        f"http://127.0.0.1:{mail.sockets[0].getsockname()[1]}/": "no HTTP",
    }
    for url, reason in reasons.items():
        answer = await posted(url)
        assert answer.status is None
        assert not answer.is_refused, url
        assert reason in answer.reason
    mail.close()
    await mail.wait_closed()


async def test_the_wish_for_a_later_attempt_is_read_as_seconds_or_as_a_date(
    receiver: Receiver,
) -> None:
    later = email.utils.formatdate(time.time() + 3600, usegmt=True)
    earlier = email.utils.formatdate(time.time() - 3600, usegmt=True)
    for text, low, high in (("120", 120, 120), (later, 3500, 3600), (earlier, 0, 0)):
        receiver.answers = [status(429, Retry_After=text)]
        wait = (await posted(receiver.url)).retry_after
        assert wait is not None
        assert low <= wait <= high
    for text in ("", "soon", "-1", "9" * 400, "1e9", "Wed, 99 Oct 2015 07:28:00 GMT"):
        receiver.answers = [status(503, Retry_After=text)]
        assert await posted(receiver.url) == WebhookAnswer(503), text


URLS = {
    "ftp://a.example/": BadUrl,
    "a.example/hook": BadUrl,
    "http://[": BadUrl,
    "http://a.example/" + "a" * 20_000: BadUrl,
    "https://me:secret@a.example/": BadUrl,
    "https://secret@a.example/": BadUrl,
    "https://a b/": BadUrl,
    "https://a%20b/": BadUrl,
    "https://a..example/": BadUrl,
    "https://*.example/": BadUrl,
    "https://" + "a" * 64 + ".example/": BadUrl,
    "https://" + "a." * 130 + "example/": BadUrl,
    "http://127.0.0.1/": Forbidden,
    "http://[::ffff:10.0.0.1]/": Forbidden,
    "http://169.254.169.254/": Forbidden,
}


@pytest.mark.parametrize("url", URLS, ids=lambda url: url[:30])
def test_a_url_that_could_never_be_posted_to_is_refused_at_once(url: str) -> None:
    with pytest.raises(URLS[url]) as refused:
        check_target(url, NONE, allow_private=False)
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "a.example"},
        {"content-length": "1"},
        {"Transfer-Encoding": "chunked"},
        {"Webhook-Id": "1"},
        {"WEBHOOK-SIGNATURE": "v1,"},
        {"Connection": "keep-alive"},
        {"X-Own": "secret\r\nHost: b.example"},
        {"X-Own": "secret\nb"},
        {"X-Own": "secret\0"},
        {"X-Own": "secret\u2028"},
        {"X-Own: a\r\nHost": "secret"},
        {"": "secret"},
        {"X Own": "secret"},
        {"X-Own": "secret" * 2000},
        {f"X-{number}": "secret" for number in range(51)},
    ],
    ids=str,
)
def test_a_header_that_would_say_something_else_is_refused(headers: Mapping[str, str]) -> None:
    with pytest.raises(CallerError) as refused:
        check_target("https://a.example/", headers, allow_private=False)
    assert isinstance(refused.value, BadRequest)
    assert refused.value.param == "webhook"
    assert "secret" not in refused.value.message


def test_what_can_be_sent_is_not_refused() -> None:
    headers = {"Authorization": "Bearer abc", "X-Own": "a\tb", "Content-Type": "application/json"}
    check_target("https://a.example:8443/hook?key=1", headers, allow_private=False)
    for host in (
        "a_b.example",
        "b\u00fccher.example",
        "a.example.",
        "1.a-b",
        "a" * 63 + ".example",
    ):
        check_target(f"https://{host}/", {}, allow_private=False)
    check_target("http://localhost/hook", {}, allow_private=False)  # the guard asks for its address
    check_target("http://10.0.0.1/hook", {}, allow_private=True)
