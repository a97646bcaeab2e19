"""No job is lost and none is done twice when servers are killed; `make kill-test` does more."""

from __future__ import annotations

from tests.jobs.kill_test import killed


def test_a_store_of_one_server_loses_nothing_by_kill_9():
    count = killed("", workers=1, jobs=16, kills=2, options=("--seconds=0.1",))
    assert (count.completed, count.lost, count.done_twice, count.delivered) == (16, 0, 0, 16)


def test_a_store_of_two_servers_loses_nothing_by_kill_9(postgres):
    options = ("--seconds=0.1", "--dead=2")
    count = killed(postgres.url, workers=2, jobs=12, kills=1, options=options)
    assert (count.completed, count.lost, count.done_twice, count.delivered) == (12, 0, 0, 12)
