"""No key but a client's own opens a real server, and none is in its log."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import tone, wav
from tests.support.processes import ask, controlled, post

KEYS = ("s3cr3t:4=a", "s3cr3t,b", "s3cr3t-c")
PROBES = [
    "", " ", "s3cr3t", "s3cr3t:4", "s3cr3t:4=", "S3CR3T:4=A", "s3cr3t:4=a ,", "s3cr3t:4=aa", "*",
    "alice", "alice=s3cr3t:4=a", "a,s3cr3t:4=a", "s3cr3t:4=a,s3cr3t-c", "null", "None", "%73%33",
    "\xe9", "a" * 4000,
]  # fmt: skip


def test_no_probe_opens_the_server_and_no_key_is_logged(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# who\nalice:2={KEYS[0]}\ncarol={KEYS[2]}\n")
    settings = {"API_KEYS_FILE": str(file), "API_KEY": KEYS[1], "LOG_LEVEL": "DEBUG"}
    with controlled(tmp_path, **settings) as server:
        for probe in PROBES:
            for headers in (
                {"Authorization": f"Bearer {probe}"},
                {"Authorization": probe},
                {"Authorization": f"Basic {probe}"},
                {"x-admin-api-key": probe},
                {"Authorization": f"Bearer {probe}x", "x-admin-api-key": KEYS[0]},
            ):
                assert ask(server, "GET", "/metrics", None, headers)[0] == 401, headers
        for key in KEYS:
            answered = post(server, wav(tone(1.0)), {"Authorization": f"Bearer {key}"})
            assert answered[0] == 200
        for path in ("/hc", "/openapi.json"):
            assert ask(server, "GET", path)[0] == 200
        assert server.stop() == 0
        log = server.log.read_text()
    assert [key for key in KEYS if key in log] == []
    assert " alice /asr: 1.0 s of audio" in log
