"""Which pages and host names may use the server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import tone, wav

PAGE = "https://page.example"
SOUND = wav(tone(1.0))


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": PAGE},
        {"Origin": "null"},
        {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"},
        {"Origin": PAGE, "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://here.example:9000", "Host": "here.example:8000"},
        {"Origin": "http://here.example.evil", "Host": "here.example"},
        {"Origin": "http://", "Host": "here.example"},
        {"Origin": ""},
    ],
)
@pytest.mark.parametrize("path", ["/asr", "/v1/audio/transcriptions"])
async def test_a_foreign_page_is_refused_before_its_request_is_read(
    client: Any, engine: Any, headers: dict[str, str], path: str
) -> None:
    response = await client.post(path, data=SOUND, headers=headers)
    assert response.status == 403
    error = (await response.json())["error"]
    message = error["message"] if path.startswith("/v1") else error
    assert "CORS_ORIGINS" in message
    assert "Access-Control-Allow-Origin" not in response.headers
    assert engine.steps == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://here.example:8000", "Host": "here.example:8000"},
        {"Origin": "https://here.example", "Host": "here.example"},  # TLS ends before the server
        {"Origin": "https://here.example", "Host": "here.example:443"},
        {"Origin": "HTTP://Here.Example", "Host": "here.example"},
        {"Origin": PAGE, "Host": "asr.internal", "X-Forwarded-Host": "page.example"},
        {"Origin": PAGE, "Host": "asr.internal", "X-Forwarded-Host": "a.example, page.example"},
        {"Origin": PAGE, "Host": "asr.internal", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_the_servers_own_page_is_served_by_gateways_too(
    client: Any, headers: dict[str, str]
) -> None:
    assert (await client.post("/asr", data=SOUND, headers=headers)).status == 200


@pytest.mark.parametrize(("setting", "expected"), [((PAGE,), PAGE), (("*",), "*")])
async def test_a_page_of_a_named_origin_may_ask_and_read(
    make_client: Any, setting: tuple[str, ...], expected: str
) -> None:
    client = await make_client(cors_origins=setting)
    for data, status in ((SOUND, 200), (b"", 400)):
        response = await client.post("/asr", data=data, headers={"Origin": PAGE})
        assert response.status == status
        assert response.headers["Access-Control-Allow-Origin"] == expected
        assert response.headers["Access-Control-Expose-Headers"] == "*"
        assert response.headers["Vary"] == "Origin"
    other = await client.post("/asr", data=SOUND, headers={"Origin": "https://other.example"})
    assert other.status == (200 if expected == "*" else 403)


async def test_a_streamed_answer_can_be_read_by_the_page(make_client: Any) -> None:
    client = await make_client(cors_origins=(PAGE,))
    response = await client.post("/asr?stream=true", data=SOUND, headers={"Origin": PAGE})
    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, PAGE)


async def test_a_preflight_is_answered_without_the_key(make_client: Any) -> None:
    client = await make_client(cors_origins=(PAGE,), api_key="k")
    headers = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-stainless-os",
    }
    response = await client.options("/v1/audio/transcriptions", headers=headers)
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    assert response.headers["Access-Control-Allow-Methods"] == "OPTIONS, POST"
    assert response.headers["Access-Control-Allow-Headers"] == "authorization, x-stainless-os"
    response = await client.options("/asr", headers={**headers, "Origin": "https://a.example"})
    assert response.status == 403
    assert "Access-Control-Allow-Methods" not in response.headers


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/asr", "OPTIONS, POST"),
        ("/hc", "GET, HEAD, OPTIONS"),
        ("/v1/models/a/b", "GET, HEAD, OPTIONS"),
        ("/docs/static/swagger-ui.css", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_lists_the_methods_of_a_route(client: Any, path: str, methods: str) -> None:
    response = await client.options(path)
    assert (response.status, response.headers["Allow"], await response.read()) == (
        204,
        methods,
        b"",
    )


async def test_options_of_no_route_is_a_404(client: Any) -> None:
    assert (await client.options("/nowhere")).status == 404


HOSTS = ("asr.example", "*.below.example", "[::1]")


@pytest.mark.parametrize(
    "host", ["asr.example", "ASR.example:8000", "asr.example.", "a.b.below.example", "[::1]:8000"]
)
async def test_a_named_host_is_served(make_client: Any, host: str) -> None:
    client = await make_client(allowed_hosts=HOSTS)
    assert (await client.get("/v1/models", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "below.example", "asr.example.evil", "127.0.0.1", "", "é"]
)
async def test_another_host_is_answered_421_and_told_the_setting(
    make_client: Any, host: str
) -> None:
    client = await make_client(allowed_hosts=HOSTS)
    response = await client.get("/v1/models", headers={"Host": host})
    assert response.status == 421
    error = (await response.json())["error"]
    assert "ALLOWED_HOSTS" in error["message"]
    assert error["code"] == "wrong_host"
    for probe in ("/hc", "/health"):
        assert (await client.get(probe, headers={"Host": host})).status == 200
