"""Clients: known by their keys, and limited in what they do at once."""

import pytest

from asr.config.keys import ApiKey
from asr.errors import TooManyRequests
from asr.jobs.clients import Clients

CLIENTS = [ApiKey("", "alone"), ApiKey("alice", "a:1=x"), ApiKey("bob", "b", 2)]


@pytest.mark.parametrize(
    ("given", "client"),
    [("alone", ""), ("a:1=x", "alice"), ("b", "bob"), ("", None), ("a", None), ("\udce9", None)],
)
def test_a_client_is_known_by_its_whole_key(given, client):
    assert Clients(CLIENTS).client_of(given) == client


def test_without_keys_nobody_needs_one():
    assert not Clients([]).need_keys
    assert Clients(CLIENTS).need_keys


def test_a_client_has_no_more_requests_in_flight_than_its_limit():
    clients = Clients(CLIENTS)
    with clients.request("bob"):
        with clients.request("bob"), clients.request("alice"), pytest.raises(TooManyRequests) as no:
            clients.request("bob").__enter__()
        assert no.value.status == 429
        assert no.value.retry_after is not None
        assert "bob has as many requests in flight as it may have at once (2)" in no.value.message
        with clients.request("bob"):  # one has been answered
            pass


def test_a_client_with_as_many_running_jobs_as_it_may_have_waits():
    clients = Clients(CLIENTS)
    assert clients.excluded([]) == set()
    assert clients.excluded(["alice", "bob", "alice", "", "alice"]) == set()
    assert clients.excluded(["bob", "alice", "bob"]) == {"bob"}
