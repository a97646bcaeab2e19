"""A server that ends in mid-job loses nothing: its jobs are done once when it is back."""

import signal

import pytest

from tests.conftest import tone, wav
from tests.support.processes import ask, controlled, get, until

LONG = wav(tone(100.0, 4000), 4000)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_is_completed_after_its_server_has_ended_and_has_one_result(tmp_path, end):
    settings = {"ENGINE_CAPACITY": "1", "DRAIN_TIMEOUT_S": "0.2"}
    with controlled(tmp_path, **settings) as server:
        server.hold(1)
        status, job = ask(server, "POST", "/jobs", LONG)
        assert status == 202
        until(lambda: len(server.transcribed()) == 1)
        server.process.send_signal(end)
        server.process.wait()
        server.release()
    path = f"/jobs/{job['id']}"
    with controlled(tmp_path, **settings) as server:
        until(lambda: get(server, path)[1]["state"] == "completed")
        found = get(server, path)[1]
        assert (found["attempt"], found["progress"]) == (2, {"done": 100.0, "total": 100.0})
        result = get(server, f"{path}/result")[1]
        assert result["text"] == found["text"]
        assert result["text"].count(" s") == len(result["chunks"]) == 4
        assert [each["id"] for each in get(server, "/jobs")[1]["jobs"]] == [job["id"]]
        until(lambda: not list((tmp_path / "jobs" / "uploads").iterdir()))
