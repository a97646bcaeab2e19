"""A webhook's body, headers and signature, and what is refused when it is submitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook as Verifier

from asr.errors import BadRequest
from asr.jobs.job import JobState
from asr.jobs.submission import Webhook
from asr.jobs.webhooks.message import WebhookBodies, check_webhook, envelope, signed, usual, written
from asr.transcript import Segment, Transcript
from tests.support.jobs import asked

SECRET = "whsec_" + "QUJD" * 8


def test_a_signature_does_not_depend_on_where_the_server_is() -> None:
    far_away = datetime.now(timezone(timedelta(hours=-9)))
    Verifier(SECRET).verify(b"{}", signed("i", SECRET, far_away, b"{}"))


async def test_a_body_has_its_dialects_shape_and_the_transcript_of_a_completed_job():
    transcript = Transcript((Segment(0.0, 1.0, " hi"),), "en", 1.0)

    async def found(_):
        return transcript

    bodies = WebhookBodies(
        {"one": lambda job, it: {"id": job.id, "text": it and it.segments[0].text}, "two": 1}, found
    )
    job = asked(dialect="one", id="a").job()
    for state, text in ((JobState.COMPLETED, " hi"), (JobState.FAILED, None)):
        body = await bodies.make(replace(job, state=state))
        assert json.loads(body) == {"id": "a", "text": text}


def test_an_envelope_tells_when_the_job_ended():
    job = replace(asked().job(), state=JobState.EXPIRED, ended_at=1.5)
    told = {"type": "job.expired", "timestamp": "1970-01-01T00:00:01.500Z", "data": {"a": 1}}
    assert envelope(job, {"a": 1}) == told


def test_a_header_that_the_caller_set_is_not_set_twice():
    assert usual({"CONTENT-TYPE": "a/b", "user-agent": "me"}) == {
        "CONTENT-TYPE": "a/b",
        "user-agent": "me",
    }
    assert usual({})["Content-Type"] == "application/json"


def test_a_webhook_does_not_show_its_secrets():
    assert "s3cret" not in repr(Webhook("https://a.example/", "s3cret", {"X-Key": "s3cret"}))


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "my secret", "QUJD" * 7, "QUJD" * 22, "QUJD-_" * 8, "QUJDé" * 8]
)
def test_a_secret_that_cannot_sign_is_refused_when_it_is_submitted(secret: str) -> None:
    with pytest.raises(BadRequest, match="base64 of 24 to 64 bytes") as refused:
        check_webhook(Webhook("https://a.example/", secret), allow_private=False)
    assert refused.value.param == "webhook_secret"
    assert not secret or secret not in refused.value.message or secret == "whsec_"


@pytest.mark.parametrize(
    "secret", [None, SECRET, "RERE" * 8, "QUJD" * 8 + "QQ", "QUJD" * 8 + "QQ=="]
)
def test_a_secret_may_be_written_in_every_way_in_which_it_is_read(secret: str | None) -> None:
    headers: Mapping[str, str] = {"X-Own": "1"}
    check_webhook(Webhook("https://a.example/", secret, headers), allow_private=False)
    if secret:
        Verifier(secret).verify(b"{}", signed("i", secret, datetime.now(UTC), b"{}"))


def test_a_body_is_utf_8_whatever_is_in_it() -> None:
    assert json.loads(written({"text": "é\ud800"})) == {"text": "é?"}
