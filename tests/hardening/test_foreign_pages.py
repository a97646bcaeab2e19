"""What a web page can make a browser send, at a real process: nothing is done for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import tone, wav
from tests.support.processes import Controlled, ask, controlled

URL = b'{"url": "http://127.0.0.1:1/secret"}'
FORM = (
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    + wav(tone(1.0))
    + b"\r\n--edge--\r\n"
)
# What needs no preflight: https://fetch.spec.whatwg.org/#cors-safelisted-request-header
SIMPLE = {
    "text": ("text/plain", URL),
    "audio": ("text/plain", wav(tone(1.0))),
    "form": ("multipart/form-data; boundary=edge", FORM),
    "url form": ("application/x-www-form-urlencoded", b"url=http%3A%2F%2F127.0.0.1%3A1%2F"),
}
FOREIGN = [
    {"Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://192.168.0.7"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "null"},
    {"Origin": "file://"},
    {"Origin": "chrome-extension://abcdefgh"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    directory = tmp_path_factory.mktemp("pages")
    with controlled(directory, ALLOW_PRIVATE_URLS="1") as running:
        yield running


@pytest.mark.parametrize("kind", SIMPLE)
@pytest.mark.parametrize("path", ["/asr", "/detect-language", "/v1/audio/transcriptions"])
def test_no_simple_request_of_a_foreign_page_is_carried_out(
    server: Controlled, path: str, kind: str
) -> None:
    content_type, body = SIMPLE[kind]
    for headers in FOREIGN:
        status, answer = ask(server, "POST", path, body, {"Content-Type": content_type, **headers})
        assert status == 403, headers
        assert "CORS_ORIGINS" in str(answer["error"])
    assert server.transcribed() == []


def test_no_page_is_told_of_the_server_and_the_servers_own_page_works(server: Controlled) -> None:
    for headers in FOREIGN:
        assert ask(server, "GET", "/hc", headers=headers)[0] == 403
        preflight = {**headers, "Access-Control-Request-Method": "POST"}
        assert ask(server, "OPTIONS", "/asr", headers=preflight)[0] == 403
    assert ask(server, "POST", "/asr", wav(tone(1.0)), {"Origin": server.url})[0] == 200


def test_a_rebound_name_is_refused_where_the_names_are_known(tmp_path: Path) -> None:
    with controlled(tmp_path, ALLOWED_HOSTS="asr.example,127.0.0.1") as server:
        rebound = {"Host": f"evil.example:{server.port}", "Origin": "http://evil.example"}
        status, answer = ask(server, "POST", "/asr", wav(tone(1.0)), rebound)
        assert status == 421
        assert "ALLOWED_HOSTS" in str(answer["error"])
        assert server.transcribed() == []
        assert ask(server, "GET", "/hc", headers={"Host": "evil.example"})[0] == 200
        assert ask(server, "GET", "/v1/models", headers={"Host": "asr.example"})[0] == 200
