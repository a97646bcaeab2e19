"""Which addresses a request may name: everything else is refused, at every hop."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import FormData, web

from asr.errors import Forbidden
from tests.conftest import tone, wav
from tests.support.origin import Handler, Names, Origin, fetched


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_a_name_that_leads_to_a_private_address_is_refused(
    origin: Origin, address: str
) -> None:
    with pytest.raises(Forbidden, match="ALLOW_PRIVATE_URLS"):
        await fetched(f"http://files.example:{origin.port}/", Names(address))
    assert origin.seen == []


@pytest.mark.usefixtures("as_public")
async def test_a_name_that_changes_its_address_is_dialled_as_it_was_judged(origin: Origin) -> None:
    names = Names(Origin.public, Origin.private)
    assert await fetched(f"http://rebind.example:{origin.port}/x", names) == b"sound"
    assert names.asked == ["rebind.example"]
    assert origin.seen == ["127.0.0.2/x"]


@pytest.mark.usefixtures("as_public")
async def test_a_name_that_changes_its_address_between_hops_is_judged_again(
    origin: Origin,
) -> None:
    async def again(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/secret", "Connection": "close"})

    origin.handlers["/start"] = again
    with pytest.raises(Forbidden):
        await fetched(
            f"http://rebind.example:{origin.port}/start", Names(Origin.public, Origin.private)
        )
    assert origin.seen == ["127.0.0.2/start"]


@pytest.mark.usefixtures("as_public")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("hops", [1, 3])
async def test_a_redirect_to_a_private_address_is_refused_at_every_hop(
    origin: Origin, status: int, hops: int
) -> None:
    def redirect(location: str) -> Handler:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": location})

        return answer

    for hop in range(1, hops):
        origin.handlers[f"/{hop}"] = redirect(f"/{hop + 1}")
    origin.handlers[f"/{hops}"] = redirect(f"http://127.0.0.1:{origin.port}/secret")
    with pytest.raises(Forbidden):
        await fetched(f"http://{Origin.public}:{origin.port}/1")
    assert len(origin.seen) == hops
    assert not any("secret" in place for place in origin.seen)


# --- over HTTP ---

# What a request may not name, and the status it gets.
ADDRESSES = {
    "http://127.0.0.1/": 403,
    "http://127.0.0.1:{port}/": 403,
    "http://127.8.9.10:{port}/": 403,
    "http://0.0.0.0:{port}/": 403,
    "http://localhost:{port}/": 403,
    "http://LOCALHOST:{port}/": 403,
    "http://10.0.0.1/": 403,
    "http://172.16.0.1/": 403,
    "http://192.168.0.1/": 403,
    "http://100.64.0.1/": 403,
    "http://169.254.169.254/latest/meta-data/": 403,
    "http://[::1]:{port}/": 403,
    "http://[::]:{port}/": 403,
    "http://[::ffff:127.0.0.1]:{port}/": 403,
    "http://[::127.0.0.1]:{port}/": 403,
    "http://[64:ff9b::7f00:1]/": 403,
    "http://[2002:7f00:1::]/": 403,
    "http://[2001:0:7f00:1::]/": 403,
    "http://[fe80::1]/": 403,
    "http://[fe80::1%25lo]/": 403,
    "http://[fec0::1]/": 403,
    "http://[fd00::1]/": 403,
    "http://2130706433:{port}/": 400,  # decimal
    "http://017700000001:{port}/": 400,  # octal
    "http://0177.0.0.1:{port}/": 400,
    "http://0x7f000001:{port}/": 403,  # hexadecimal, as the C library reads it
    "http://0x7f.1:{port}/": 403,
    "http://127.1:{port}/": 400,
    "http://0:{port}/": 400,
    "http://127.0.0.1.:{port}/": 400,
    "http://\uff11\uff12\uff17.0.0.1:{port}/": 403,  # full-width digits
    "http://127\u30020\u30020\u30021:{port}/": 403,  # ideographic full stops
    "http://127.0.0.1%00.example:{port}/": None,
    "http://user:password@127.0.0.1:{port}/": 403,
    "http://8.8.8.8@127.0.0.1:{port}/": 403,
    "http://127.0.0.1:{port}#@8.8.8.8/": 403,
    "http://127.0.0.1:{port}\\@8.8.8.8/": None,
    "https://127.0.0.1:{port}/": 403,
    "HTTP://127.0.0.1:{port}/": 403,
    "http:127.0.0.1": 400,
    "http:///etc/passwd": 400,
    "http://": 400,
    "http://[::1": 400,
    "http://h:99999/": 400,
    "http://a..b/": 400,
    "http://xn--a/": 400,
    "http://127.0.0.1:{port}/\r\nHost: x": 403,
    "ftp://127.0.0.1/a.wav": 400,
    "gopher://127.0.0.1:{port}/_GET": 400,
    "rtmp://127.0.0.1/live": 400,
    "concat:http://127.0.0.1:{port}/": 400,
    "jar:http://127.0.0.1!/a": 400,
}


@pytest.mark.parametrize("template", ADDRESSES)
async def test_an_address_inside_is_never_dialled(
    make_client: Any, origin: Origin, template: str
) -> None:
    client = await make_client()
    url = template.replace("{port}", str(origin.port))
    response = await client.post("/asr", json={"url": url})
    assert response.status == ADDRESSES[template] or ADDRESSES[template] is None
    assert 400 <= response.status < 500
    assert (await response.json())["error"]
    assert origin.seen == []


async def test_the_query_and_forms_are_guarded_as_json_is(make_client: Any, origin: Origin) -> None:
    client = await make_client()
    url = f"http://127.0.0.1:{origin.port}/"
    assert (await client.post("/asr", params={"url": url})).status == 403
    assert (await client.post("/asr", data={"url": url})).status == 403
    form = FormData({"url": url}, default_to_multipart=True)
    assert (await client.post("/asr", data=form)).status == 403
    assert origin.seen == []


async def test_a_private_url_is_transcribed_where_that_is_allowed(
    make_client: Any, origin: Origin
) -> None:
    async def audio(_: web.Request) -> web.Response:
        return web.Response(body=wav(tone(1.0)))

    origin.handlers["/a.wav"] = audio
    client = await make_client(allow_private_urls=True)
    url = f"http://127.0.0.1:{origin.port}/a.wav"
    response = await client.post("/asr", json={"url": url})
    assert response.status == 200
    assert (await response.json())["text"] == " 1.00 s"
