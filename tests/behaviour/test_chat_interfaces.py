"""Open WebUI, n8n and LibreChat, as their sources send their requests, at a real process.

- https://github.com/open-webui/open-webui: `transcription_handler` of
  backend/open_webui/routers/audio.py, which sends its form by `requests`.
- https://github.com/n8n-io/n8n: actions/audio/transcribe.operation.ts, transport/index.ts and the
  credentials' test of packages/@n8n/nodes-langchain/nodes/vendors/OpenAi: a form of the npm package
  `form-data`, the file last.
- https://github.com/danny-avila/LibreChat: `openAIProvider` of
  api/server/services/Files/Audio/STTService.js: axios makes a form of an object whose file is a
  stream, so that it comes first, and nobody knows the body's length.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from asr.audio.ffmpeg import find_program
from tests.behaviour.test_speech import SAMPLES
from tests.conftest import PATIENCE_SECONDS, Server, start_server

SAMPLE = SAMPLES / "en-short.flac"
SAID = "We travel from Lima to Lisbon in September."
KEY = "sk-of-the-server"
BOUNDARY = "--------------------------514212368423185412689532"  # as `form-data` makes them


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, needs_demo_model: None) -> Iterator[Server]:  # noqa: ARG001
    """A server that wants a key, as one that others reach should."""
    running = start_server(tmp_path_factory.mktemp("keyed") / "log", API_KEY=KEY)
    yield running
    running.stop()


def recorded(*how: str, name: str) -> bytes:
    """The sample in another format, as a browser or another program records it."""
    program = find_program()
    assert program is not None
    command = [program, "-v", "error", "-i", str(SAMPLE), *how, "-f", name, "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def open_webui(url: str, file: Path, language: str | None, key: str = KEY) -> requests.Response:
    """What it gets with `AUDIO_STT_OPENAI_API_BASE_URL` and a language of the user's settings."""
    for chosen in (language, None):  # the second time without: the first may have failed
        payload = {"model": "whisper-1"}
        if chosen:
            payload["language"] = chosen
        with file.open("rb") as opened:
            response = requests.post(
                url=f"{url}/v1/audio/transcriptions",
                headers={"Authorization": f"Bearer {key}", "X-OpenWebUI-User-Role": "user"},
                files={"file": (file.name, opened)},
                data=payload,
                timeout=PATIENCE_SECONDS,
            )
        if response.status_code == 200:
            break
    return response


@pytest.mark.parametrize("language", [None, "en", "tlh"])
def test_open_webui_gets_the_text_also_where_the_users_language_is_unknown(
    keyed: Server, tmp_path: Path, language: str | None
) -> None:
    file = tmp_path / "3f6c1d0a-f6a7-4f0e-9f54-0f5f3a1a2a11.mp3"
    file.write_bytes(recorded("-ac", "1", "-ar", "16000", "-b:a", "32k", name="mp3"))
    found: dict[str, Any] = open_webui(keyed.url, file, language).json()
    assert str(found["text"]).strip() == SAID


def test_open_webui_shows_our_message_of_a_failure(keyed: Server, tmp_path: Path) -> None:
    file = tmp_path / "3f6c1d0a.wav"
    file.write_bytes(b"no audio, again and again" * 100)
    found = open_webui(keyed.url, file, None).json()
    assert "audio" in found["error"].get("message", "")
    found = open_webui(keyed.url, file, None, key="another").json()
    assert "API key" in found["error"].get("message", "")


def parts(*fields: tuple[str, str], file: bytes, head: str, is_file_first: bool) -> bytes:
    """A form as `form-data` writes it."""
    texts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields
    ]
    whole = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; {head}\r\n\r\n'.encode()
    audio = whole + file + b"\r\n"
    ordered = [audio, *texts] if is_file_first else [*texts, audio]
    return b"".join([*ordered, f"--{BOUNDARY}--\r\n".encode()])


N8N_HEADERS = {
    "Accept": "application/json",
    "Authorization": f"Bearer {KEY}",
    "OpenAI-Organization": "",
}


@pytest.mark.parametrize("options", [(), (("language", "en"), ("temperature", "0.5"))])
def test_n8ns_openai_node_transcribes_a_recording(
    keyed: Server, options: tuple[tuple[str, str], ...]
) -> None:
    body = parts(
        ("model", "whisper-1"),
        *options,
        file=recorded(name="mp3"),
        head='filename="audio.mp3"\r\nContent-Type: audio/mpeg',
        is_file_first=False,
    )
    response = requests.post(
        f"{keyed.url}/v1/audio/transcriptions",
        data=body,
        headers={**N8N_HEADERS, "content-type": f"multipart/form-data; boundary={BOUNDARY}"},
        timeout=PATIENCE_SECONDS,
    )
    assert response.json()["text"].strip() == SAID


def test_n8ns_credentials_are_found_to_be_good(keyed: Server) -> None:
    response = requests.get(f"{keyed.url}/v1/models", headers=N8N_HEADERS, timeout=PATIENCE_SECONDS)
    assert response.status_code == 200
    assert response.json()["data"]


@pytest.mark.parametrize("language", ["", "en"])
def test_librechat_gets_the_text_of_what_a_browser_recorded(keyed: Server, language: str) -> None:
    body = parts(
        ("model", "whisper-1"),
        *([("language", language)] if language else []),
        file=recorded("-c:a", "libopus", "-ar", "48000", name="webm"),
        head='filename="audio.webm"\r\nContent-Type: audio/webm',
        is_file_first=True,
    )
    response = requests.post(
        f"{keyed.url}/v1/audio/transcriptions",
        data=iter([body[:1000], body[1000:]]),  # of unknown length: chunked
        headers={
            "Accept": "application/json, text/plain, */*",
            "Accept-Encoding": "gzip, compress, deflate, br",
            "Authorization": f"Bearer {KEY}",
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            "User-Agent": "axios/1.12.1",
        },
        timeout=PATIENCE_SECONDS,
    )
    assert response.status_code == 200
    assert response.json()["text"].strip() == SAID
