"""The audio that is sent: where it is found, and the forms it is sent in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

from benchmark.load.clips import Clip, collect
from tests.benchmark.conftest import SECOND, measured, stub_server


async def test_urls_are_sent_as_json_and_forms_have_a_file(
    aiohttp_server: Any, audio: Path
) -> None:
    requests: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        is_form = request.content_type == "multipart/form-data"
        fields = dict(await request.post()) if is_form else await request.json()
        if isinstance(file := fields.get("file"), web.FileField):
            fields["file"] = (file.filename, file.file.read())
        requests.append({**fields, "key": request.headers["Authorization"]})
        return web.json_response({"text": ""})

    url = await stub_server(aiohttp_server, transcribe=answer)
    place = "https://example.com/clip.mp3"
    common = ("--requests", 1, "--concurrency", 1, "--api-key", "secret")
    await measured(url, "--audio", place, *common)
    assert requests[-1] == {"url": place, "key": "Bearer secret"}
    form = ("--route", "/v1/audio/transcriptions")
    await measured(url, "--audio", place, *common, *form)
    assert requests[-1] == {"url": place, "model": "whisper-1", "key": "Bearer secret"}
    await measured(url, "--audio", audio / "one.wav", *common, *form)
    assert requests[-1]["file"] == ("one.wav", SECOND)


def test_places_are_directories_files_urls_and_lists_of_them(audio: Path) -> None:
    listed = audio / "list.txt"
    listed.write_text(f"# a comment\n\n{audio / 'one.wav'}\nhttps://example.com/x.mp3\n")
    assert collect([str(audio)], [listed]) == [
        Clip("two.WAV", SECOND),
        Clip("one.wav", SECOND),
        Clip("one.wav", SECOND),
        Clip("https://example.com/x.mp3"),
    ]
