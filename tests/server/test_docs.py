"""The OpenAPI document is valid and whole, and its page loads nothing from elsewhere."""

import base64
import hashlib
import re

import pytest
from openapi_pydantic import OpenAPI

from asr.http import openapi
from asr.http.dialect import Dialect, Problem
from asr.server.docs import document


async def test_the_openapi_document_is_valid_and_names_every_route(client):
    response = await client.get("/openapi.json")
    document = await response.json()
    assert OpenAPI.model_validate(document).openapi == "3.1.0"
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in client.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {(m, p) for p, item in document["paths"].items() for m in item}
    assert described <= routes
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["tags"], path
            named = re.findall(r"`(/[^`]*)`", operation.get("description", "").split("same at")[-1])
            described |= {(method, each) for each in named}
    pages = {(m, p) for m, p in routes if p.startswith(("/docs", "/openapi.json", "/page/"))}
    pages |= {("get", "/"), ("get", "/v1/listen")}  # the latter is refused, whatever it asks
    assert described == routes - pages


async def test_every_operation_has_its_statuses_and_examples(client):
    document = await (await client.get("/openapi.json")).json()
    responses = document["paths"]["/asr"]["post"]["responses"]
    expected = [
        "200",
        "400",
        "401",
        "403",
        "404",
        "408",
        "413",
        "415",
        "421",
        "422",
        "429",
        "500",
        "502",
        "503",
        "504",
        "507",
    ]
    assert sorted(responses) == expected
    assert "examples" in str(document["paths"]["/asr"]["post"]["requestBody"])


def test_a_dialects_webhooks_are_in_the_document_with_their_shapes():
    operation = {
        "requestBody": {"content": {"application/json": openapi.content(Problem)}},
        "responses": {},
    }
    described = document(
        [Dialect(("/x/",), (), webhooks=lambda: {"job.ended": {"post": operation}})]
    )
    assert OpenAPI.model_validate(described).webhooks
    content = described["webhooks"]["job.ended"]["post"]["requestBody"]["content"][
        "application/json"
    ]
    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert "Problem" in described["components"]["schemas"]
    assert "webhooks" not in document([])


async def test_the_document_has_the_webhooks_of_jobs(client):
    document = await (await client.get("/openapi.json")).json()
    of_jobs = {name: item for name, item in document["webhooks"].items() if "." in name}
    assert sorted(of_jobs) == ["job.cancelled", "job.completed", "job.expired", "job.failed"]
    for item in of_jobs.values():
        headers = {parameter["name"] for parameter in item["post"]["parameters"]}
        assert headers == {"webhook-id", "webhook-timestamp", "webhook-signature"}
        shape = item["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert shape.rpartition("/")[2] in document["components"]["schemas"]


async def test_the_documentation_page_loads_nothing_from_elsewhere(client):
    page = await (await client.get("/docs")).text()
    assert "http://" not in page
    assert "https://" not in page
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(assets) >= 3
    for asset in assets:
        assert (await client.get(asset)).status == 200, asset


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
async def test_the_page_may_run_its_own_scripts_alone_and_ask_its_own_server(client, path):
    response = await client.get(path)
    policy = dict(
        rule.split(" ", 1) for rule in response.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    scripts = re.findall(r"<script(?: [^>]*)?>([^<]*)</script>", await response.text())
    inline = [script for script in scripts if script.strip()]
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in inline]
    assert policy["script-src"].split() == ["'self'", *(f"'sha256-{each}'" for each in hashes)]
    assert len(inline) == 1
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
