"""The page and its files: types, caching, what browsers may load, who may read it."""

import io
import re

import pytest

from asr.api import web as page
from asr.config.keys import ApiKey
from tests.conftest import tone, wav

FILES = sorted(page.page_files())
KINDS = {
    "style.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml; charset=utf-8",
    "en-several.flac": "audio/flac",
}


async def test_the_page_is_html_that_names_only_files_which_are_served(client):
    response = await client.get("/")
    assert (response.status, response.content_type) == (200, "text/html")
    text = await response.text()
    named = re.findall(r'(?:href|src)="page/([^"]+)"', text)
    assert {"style.css", "app.js", "icon.svg"} == set(named)
    assert "://" not in re.sub(r"https://(example\.com|…)|http://www\.w3\.org", "", text)


async def test_every_module_imports_only_modules_which_are_served(client):
    modules = [name for name in FILES if name.endswith(".js")]
    for name in modules:
        text = await (await client.get(f"/page/{name}")).text()
        assert set(re.findall(r'from "\./([^"]+)"', text)) <= set(modules), name
        assert not re.search(r'from "[^.]', text), name


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
async def test_a_file_has_its_type(client, name, kind):
    response = await client.get(f"/page/{name}")
    assert (response.status, response.headers["Content-Type"]) == (200, kind)


@pytest.mark.parametrize("path", ["/", "/page/app.js"])
async def test_a_file_that_a_browser_has_is_not_sent_again(client, path):
    first = await client.get(path)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"
    for known in (tag, f'"old", {tag}', f"W/{tag}", "*"):
        again = await client.get(path, headers={"If-None-Match": known})
        assert (again.status, await again.read()) == (304, b"")
        assert again.headers["ETag"] == tag
    changed = await client.get(path, headers={"If-None-Match": '"old"'})
    assert changed.status == 200


@pytest.mark.parametrize("path", ["/", "/page/style.css", "/page/server.json"])
async def test_head_tells_the_length_without_the_file(client, path):
    whole, head = await client.get(path), await client.head(path)
    assert (head.status, await head.read()) == (200, b"")
    assert head.headers["Content-Length"] == whole.headers["Content-Length"]
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]


async def test_the_page_may_load_and_call_nothing_but_its_own_server(client):
    policy = (await client.get("/")).headers["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["connect-src"] == rules["worker-src"] == "'self'"
    assert rules["media-src"] == "'self' blob:"
    assert "unsafe" not in policy
    assert "microphone=(self)" in (await client.get("/")).headers["Permissions-Policy"]


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapi%2fweb.py", "__init__.py", "samples.json"])
async def test_no_other_file_is_served(client, name):
    response = await client.get(f"/page/{name}")
    assert response.status == 404
    assert "no route" in str(await response.json())


async def test_the_page_learns_what_the_server_can_do(client):
    state = await (await client.get("/page/server.json")).json()
    assert (state["needs_key"], state["has_diarizer"], state["has_live"]) == (False, True, True)
    assert [sample["file"] for sample in state["samples"]] == list(page.OFFERED)
    assert state["samples"][0] == {"file": "en-several.flac", "language": "en", "seconds": 11.0}


@pytest.mark.parametrize(
    ("settings", "name", "told"),
    [
        ({"api_key": "k"}, "needs_key", True),
        ({"diarizer": "off"}, "has_diarizer", False),
        ({"max_live_sessions": 0}, "has_live", False),
        ({"max_live_sessions": 0}, "has_live_room", False),
        ({"max_live_sessions": 1}, "has_live_room", True),
        ({"timestamps": "segments"}, "has_word_times", False),
        ({"language_force": "es"}, "forced_language", "es"),
        ({"max_body_mb": 0.5}, "max_body_mb", 0.5),
    ],
)
async def test_the_page_learns_the_settings_that_it_must_know(make_client, settings, name, told):
    client = await make_client(**settings)
    response = await client.get("/page/server.json")
    assert response.headers["Cache-Control"] == "no-store"
    assert (await response.json())[name] == told


async def test_an_installation_without_samples_offers_none(client, monkeypatch, tmp_path):
    monkeypatch.setattr(page, "SAMPLES", tmp_path)
    page.page_files.cache_clear()
    page.samples.cache_clear()
    try:
        assert (await (await client.get("/page/server.json")).json())["samples"] == []
        assert (await client.get("/page/en-several.flac")).status == 404
        assert (await client.get("/page/app.js")).status == 200
    finally:
        page.page_files.cache_clear()
        page.samples.cache_clear()


async def test_reading_the_page_needs_no_key_and_the_task_at_the_same_address_does(make_client):
    client = await make_client(api_key="k", api_keys=(ApiKey("alice", "a"),))
    for path in ("/", "/page/app.js", "/page/server.json"):
        assert (await client.get(path)).status == 200
        assert (await client.head(path)).status == 200
    sent = wav(tone(1.0))
    assert (await client.post("/", data=sent)).status == 401
    assert (await client.post("/page/app.js", data=sent)).status == 401
    assert (await client.get("/metrics")).status == 401


async def test_the_task_at_the_same_address_is_taken_as_before(client):
    form = {"audio": io.BytesIO(wav(tone(1.0)))}
    response = await client.post("/", data=form)
    assert (await response.json())["status"] == "completed"
    wrong = await client.put("/")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET,HEAD,POST")


async def test_a_page_that_is_turned_off_is_not_there(make_client):
    client = await make_client(page=False)
    for path in ("/", "/page/app.js", "/page/server.json"):
        assert (await client.get(path)).status == 404
    assert (await client.post("/", data={"audio": io.BytesIO(wav(tone(1.0)))})).status == 200
