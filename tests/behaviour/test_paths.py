"""Which files a request may name, and that no playlist leads to others."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE_SECONDS, tone, wav
from tests.support.origin import Origin, serving


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with serving() as origin:
        yield origin


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A directory to read from, and beside it what no request may read."""
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (root / "a b.wav").write_bytes(wav(tone(1.0)))
    (root / "inner" / "c.wav").write_bytes(wav(tone(2.0)))
    (tmp_path / "secret.wav").write_bytes(wav(tone(3.0)))
    (tmp_path / "root-beside").mkdir()
    (tmp_path / "root-beside" / "secret.wav").write_bytes(wav(tone(3.0)))
    (root / "out.wav").symlink_to(tmp_path / "secret.wav")
    (root / "out").symlink_to(tmp_path)
    (root / "in.wav").symlink_to(root / "inner" / "c.wav")
    (root / "loop.wav").symlink_to(root / "loop.wav")
    (root / "unreadable.wav").write_bytes(b"")
    (root / "null").symlink_to("/dev/zero")
    os.mkfifo(root / "pipe.wav")
    return root


ALLOWED = {
    "a b.wav": 1.0,
    "./a b.wav": 1.0,
    "inner/c.wav": 2.0,
    "inner/../inner/c.wav": 2.0,
    "in.wav": 2.0,
    "inner/c.wav/": 2.0,
    "{root}/inner/c.wav": 2.0,
    "file://{root}/inner/c.wav": 2.0,
    "file://localhost{root}/a%20b.wav": 1.0,
    "FILE://{root}/a%20b.wav": 1.0,
}
REFUSED = {
    "/etc/passwd": 403,
    "file:///etc/passwd": 403,
    "file://other-host/etc/passwd": 400,
    "file://[/etc/passwd": 400,
    "file:///%2e%2e/etc/passwd": 403,
    "../secret.wav": 403,
    "inner/../../secret.wav": 403,
    "../root-beside/secret.wav": 403,
    "{root}/../secret.wav": 403,
    "{root}-beside/secret.wav": 403,
    "file://{root}/%2e%2e/secret.wav": 403,
    "file://{root}/..%2fsecret.wav": 403,
    "out.wav": 403,
    "out/secret.wav": 403,
    "null": 403,
    "/dev/zero": 403,
    "/dev/stdin": 403,
    "/proc/self/environ": 403,
    "loop.wav": 403,
    "pipe.wav": 403,
    "inner": 403,
    ".": 403,
    "..": 403,
    "a%20b.wav": 404,
    "missing.wav": 404,
    "nul\0byte.wav": 422,
    "file:///nul%00byte.wav": 400,
    "\ud800.wav": 422,
    "n" * 300: 403,
    "n/" * 100_000: 400,
    "concat:/etc/passwd": 404,
    "subfile,,start,0,end,0,,:/etc/passwd": 404,
    "|/bin/ls": 404,
    "~/.ssh/id_rsa": 404,
    "C:\\secret.wav": 404,
    "\\\\host\\share": 404,
}


@pytest.mark.parametrize("template", ALLOWED)
async def test_a_path_inside_the_root_is_transcribed(
    make_client: Any, library: Path, template: str
) -> None:
    client = await make_client(audio_root=library)
    url = template.replace("{root}", str(library))
    response = await client.post("/asr", json={"url": url})
    assert response.status == 200, await response.text()
    assert (await response.json())["text"] == f" {ALLOWED[template]:.2f} s"


@pytest.mark.parametrize("template", REFUSED)
async def test_a_path_that_leads_elsewhere_is_refused(
    make_client: Any, library: Path, template: str
) -> None:
    client = await make_client(audio_root=library)
    url = template.replace("{root}", str(library))
    async with asyncio.timeout(PATIENCE_SECONDS):
        response = await client.post("/asr", json={"url": url})
    assert response.status == REFUSED[template], await response.text()
    assert len((await response.json())["error"]) <= 1000


@pytest.mark.parametrize("url", ["a.wav", "/etc/passwd", "file:///etc/passwd", ".."])
async def test_no_path_is_read_without_a_root(make_client: Any, url: str) -> None:
    client = await make_client()
    response = await client.post("/asr", json={"url": url})
    assert response.status == 403
    assert "AUDIO_ROOT" in (await response.json())["error"]


async def test_a_root_that_is_a_link_is_followed(make_client: Any, library: Path) -> None:
    link = library.parent / "link"
    link.symlink_to(library)
    client = await make_client(audio_root=link)
    assert (await client.post("/asr", json={"url": "a b.wav"})).status == 200
    assert (await client.post("/asr", json={"url": "../secret.wav"})).status == 403


async def test_a_file_beyond_the_byte_limit_is_refused(make_client: Any, library: Path) -> None:
    client = await make_client(audio_root=library, max_body_mb=0.01)
    response = await client.post("/asr", json={"url": "a b.wav"})
    assert response.status == 413
    assert "MAX_BODY_MB" in (await response.json())["error"]


# Playlists and scripts of ffmpeg: each names another file, none may be followed.
PLAYLISTS = {
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n",
    "hls-file.m3u8": "#EXTM3U\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n",
    "hls-http.m3u8": "#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:{port}/\n#EXT-X-ENDLIST\n",
    "hls-concat.m3u8": "#EXTM3U\n#EXTINF:9,\nconcat:{secret}|{secret}\n#EXT-X-ENDLIST\n",
    "list.m3u": "{secret}\n",
    "list.pls": "[playlist]\nFile1={secret}\nNumberOfEntries=1\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{secret}'\n",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=audio 5004 RTP/AVP 0\n",
    "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="audio/wav">'
    '<Representation id="1" bandwidth="1"><BaseURL>{secret}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "old.asx": '<asx version="3.0"><entry><ref href="file://{secret}"/></entry></asx>',
    "empty.mov": "\0\0\0\x08wide",
    "external.xspf": '<playlist version="1"><trackList><track><location>file://{secret}'
    "</location></track></trackList></playlist>",
    "meta.ffmeta": ";FFMETADATA1\ntitle={secret}\n",
    "script.avs": 'WavSource("{secret}")\n',
}


@pytest.mark.parametrize("name", PLAYLISTS)
@pytest.mark.parametrize("door", ["body", "form", "path"])
async def test_a_playlist_is_never_followed(
    make_client: Any, library: Path, origin: Origin, name: str, door: str
) -> None:
    client = await make_client(audio_root=library)
    secret = str(library.parent / "secret.wav")
    content = PLAYLISTS[name].replace("{secret}", secret).replace("{port}", str(origin.port))
    (library / name).write_text(content)
    if door == "body":
        response = await client.post("/asr", data=content.encode())
    elif door == "form":
        response = await client.post("/asr", data={"file": io.BytesIO(content.encode())})
    else:
        response = await client.post("/asr", json={"url": name})
    assert response.status == 400, await response.text()
    error = (await response.json())["error"]
    assert "cannot be decoded" in error or (door == "body" and "neither audio nor" in error)
    assert origin.seen == []
