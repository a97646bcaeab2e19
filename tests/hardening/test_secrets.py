"""Secrets in URLs appear in no answer and in no line of a real process's log."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from tests.conftest import free_port
from tests.support.processes import ask, controlled

SECRET = "s3cr3t"
QUERY = f"X-Amz-Credential={SECRET}&X-Amz-Signature={SECRET}"


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
