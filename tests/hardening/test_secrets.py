"""Secrets in URLs and of webhooks appear in no answer and in no line of a real process's log."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import quote

from tests.conftest import PATIENCE_SECONDS, free_port, tone, wav
from tests.support.processes import ask, controlled

SECRET = "s3cr3t"
CLIP = wav(tone(1.0))
QUERY = f"X-Amz-Credential={SECRET}&X-Amz-Signature={SECRET}"


def test_a_secret_of_a_webhook_is_neither_logged_nor_told(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    hook = f"http://{nobody}/bot{SECRET}?{QUERY}"
    signed = f"webhook_secret=whsec_{SECRET * 8}"
    refused = [
        f"/jobs?webhook=http://me:{SECRET}@{nobody}/&{signed}",
        f"/jobs?webhook=ftp://{nobody}/{SECRET}&{signed}",
        f"/jobs?webhook=http://{nobody}/&webhook_secret={SECRET}",
        f"/jobs?{signed}",
    ]
    settings = {"LOG_LEVEL": "DEBUG", "ALLOW_PRIVATE_URLS": "1", "JOBS_DIR": str(tmp_path / "jobs")}
    with controlled(tmp_path, WEBHOOK_SECRET=SECRET * 8, **settings) as server:
        answers = [ask(server, "POST", path, CLIP) for path in refused]
        assert [status for status, _ in answers] == [400] * len(refused)
        status, job = ask(server, "POST", f"/jobs?webhook={quote(hook)}&{signed}", CLIP)
        assert status == 202
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not str(answers[-1]).count("accepts no connection"):  # another process: no event
            assert time.monotonic() < deadline, answers[-1]
            answers.append(ask(server, "GET", f"/jobs/{job['id']}"))
        answers += [ask(server, "GET", "/jobs"), (202, job)]
        assert server.stop() == 0
        log = server.log.read_text()
    assert [answer for _, answer in answers if SECRET in str(answer)] == []
    assert [line for line in log.splitlines() if SECRET in line] == []
    assert f"webhook {job['id']}~completed, attempt 1: again" in log


def test_a_secret_in_a_url_is_neither_logged_nor_told(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    nobody = f"127.0.0.1:{free_port()}"
    urls = [
        f"http://me:{SECRET}@{nobody}/a.mp3?{QUERY}",
        f"http://{nobody}/file/bot{SECRET}/a.mp3",
        f"http://{nobody}/a.mp3#{SECRET}",
        f"https://user:{SECRET[:3]}/{SECRET}@{nobody}/",
        f"http://ho st/{SECRET}?{QUERY}",
        f"http://[{SECRET}",
        f"http://{SECRET}@unknown.invalid/?{QUERY}",
        f"ftp://me:{SECRET}@{nobody}/a?{QUERY}",
        f"host.example/a.mp3?{QUERY}",
        f"file://localhost/a?{QUERY}",
        f"file://other/{SECRET}?{QUERY}",
        f"file://[{SECRET}/?{QUERY}",
        f"data:audio/wav;base64,{SECRET}!",
    ]
    settings = {"AUDIO_ROOT": str(tmp_path / "audio"), "ALLOW_PRIVATE_URLS": "1"}
    answers = []
    with controlled(tmp_path, LOG_LEVEL="DEBUG", **settings) as server:
        for url in urls:
            body = json.dumps({"url": url}).encode()
            answers.append(ask(server, "POST", "/asr", body))
            answers.append(ask(server, "POST", f"/asr?url={quote(url)}", b""))
        answers.append(ask(server, "POST", f"/asr&url=http://a.example/?{QUERY}", b""))
        answers.append(ask(server, "GET", f"/nowhere;jsessionid={SECRET}?{QUERY}"))
        answers.append(ask(server, "DELETE", f"/asr?url=http://a.example/{SECRET}"))
        assert server.stop() == 0
        log = server.log.read_text()
    assert [status for status, _ in answers if not 400 <= status < 505] == []
    assert [answer for _, answer in answers if SECRET in str(answer)] == []
    assert [line for line in log.splitlines() if SECRET in line] == []
    assert len(log.splitlines()) > len(urls)
