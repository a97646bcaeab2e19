"""A submission becomes a job, and a job with a webhook is followed by a delivery."""

import json

import pytest

from asr.errors import Invalid
from asr.jobs.job import JobKind, JobState
from asr.jobs.requests import options_from_json
from asr.jobs.submission import Webhook, deliveries_of, delivery
from asr.options import Options, Thresholds
from tests.support.jobs import asked


def test_all_that_a_worker_needs_survives_as_json():
    options = Options(language="es", languages=("es", "en"), thresholds=Thresholds(-0.5))
    webhook = Webhook("https://example.com/hook", "c2VjcmV0", {"X-Tenant": "a"})
    job = asked(options=options, webhook=webhook, fingerprint="f", extra={"format": "srt"}).job()
    request = json.loads(json.dumps(job.request))
    assert options_from_json(request["options"]) == options
    assert Webhook(**request["webhook"]) == webhook
    assert request["audio"] == {"url": "https://example.com/a.mp3"}
    assert (request["dialect"], request["extra"]) == ("native", {"format": "srt"})


def test_a_deadline_counts_from_now_on():
    job = asked(deadline_s=60.0).job()
    assert job.deadline_at == job.created_at + 60
    assert asked().job().deadline_at is None


def test_new_ids_differ():
    assert asked().job().id != asked().job().id


@pytest.mark.parametrize("own", ["a", "order-12.3:en", "5f2b", "_", "a" * 128, "x@y=z+1"])
def test_a_callers_own_id_is_kept(own):
    assert asked(id=own).job().id == own


@pytest.mark.parametrize(
    "own", ["", "a/b", "..", "a~completed", "a b", "é", "a" * 129, "a\n", "%2e"]
)
def test_an_id_that_a_path_cannot_have_is_refused(own):
    with pytest.raises(Invalid, match="a job's id may have"):
        asked(id=own).job()


def test_a_delivery_follows_the_end_of_a_job_with_a_webhook_alone():
    job = asked(id="a", client="team", webhook=Webhook("https://example.com")).job()
    [found] = deliveries_of(job, JobState.FAILED)
    assert (found.id, found.kind, found.client) == ("team/a~failed", JobKind.DELIVERY, "team")
    assert found.request == {"job": "team/a", "event": "failed", "webhook_id": "team/a~failed"}
    assert deliveries_of(asked().job(), JobState.FAILED) == ()
    assert deliveries_of(found, JobState.FAILED) == ()


def test_a_later_delivery_has_its_own_id_and_the_same_webhook_id():
    job = asked(id="a", webhook=Webhook("https://example.com")).job()
    again = delivery(job, JobState.COMPLETED, 2)
    assert (again.id, again.request["webhook_id"]) == ("a~completed~2", "a~completed")
