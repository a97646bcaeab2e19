"""The examples of the README and of docs do what they promise, at a real process."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from markdown_it import MarkdownIt

from asr.config.config import DEMO_MODEL
from tests.conftest import ROOT, Server, start_server, wav
from tests.support.sounds import FFMPEG

SPEECH = DEMO_MODEL.parent / "samples" / "en-short.flac"  # "We travel from Lima to Lisbon …"
FILES = {
    "a.flac": "",
    "a.m4a": "-c:a aac",
    "a.ogg": "-c:a libopus",
    "a.mkv": "-c:a flac",
    "a.mp3": "",
    "talks/a.wav": "-ar 16000 -c:a adpcm_ms",  # short enough for a command's argument
    "a.raw": "-ar 16000 -ac 1 -f s16be",
    "a.pcm": "-ar 16000 -ac 1 -f s16le",
}
PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
# Parts of commands whose answers are not the text, and what they have instead.
OTHER_ANSWERS = {
    "/hc": '"ok"',
    "/detect-language": '"language":"en"',
    "/v1/audio/speakers": "SPEAKER audio 1 ",
    "callback=": '"request_id"',
    "managed_task_id": '"call-17"',
    "/jobs?": '"id"',
    "8000/jobs ": '"id"',
    "-X DELETE": '"state":"completed"',  # of a job that has ended nothing is cancelled
}
CURL = (
    "curl() { command curl --silent --show-error --max-time 100"
    " --write-out '\\nHTTP %{response_code}' \"$@\"; }\n"
)


class World(BaseHTTPRequestHandler):
    """Stands for example.com: has `a.mp3`, and takes webhooks."""

    audio = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.audio)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@dataclass
class Examples:
    """A server, and a folder with the files that examples name."""

    server: Server
    folder: Path
    example_com: str

    def run(self, command: str) -> str:
        """Return what a command of curl prints, and then `HTTP` and the status."""
        sound = base64.b64encode((self.folder / "talks/a.wav").read_bytes()).decode()
        local = (
            command.replace("localhost:8000", self.server.url.removeprefix("http://"))
            .replace("https://example.com", self.example_com)
            .replace("UklGR…", sound)
        )
        script = self.folder / "example.sh"
        script.write_text(CURL + local)
        done = subprocess.run(
            ["bash", script], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout


def blocks(page: str, language: str) -> list[str]:
    parsed = MarkdownIt("commonmark").parse((ROOT / page).read_text())
    return [token.content for token in parsed if token.type == "fence" and token.info == language]


def commands(page: str) -> list[str]:
    """Commands of curl in the order of a page; one may have several lines."""
    lines = [re.findall(r"^curl .*(?:\n  .*)*", block, re.M) for block in blocks(page, "sh")]
    return [command.replace("models/demo/samples/", "") for found in lines for command in found]


def expected(command: str) -> str:
    return next((text for part, text in OTHER_ANSWERS.items() if part in command), "Lima")


@pytest.fixture(scope="module")
def examples(
    tmp_path_factory: pytest.TempPathFactory,
    needs_demo_model: None,  # noqa: ARG001
) -> Iterator[Examples]:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    folder = tmp_path_factory.mktemp("examples")
    (folder / "talks").mkdir()
    for name, how in FILES.items():
        made = [FFMPEG, "-v", "error", "-i", SPEECH, *how.split(), folder / name]
        subprocess.run(made, check=True)
    shutil.copy(SPEECH, folder)
    speech, rate = soundfile.read(SPEECH, dtype="float32")
    (folder / "call.wav").write_bytes(wav(np.stack([speech, np.roll(speech, rate)], 1), rate))
    World.audio = (folder / "a.mp3").read_bytes()
    with ThreadingHTTPServer(("127.0.0.1", 0), World) as world:
        threading.Thread(target=world.serve_forever, daemon=True).start()
        server = start_server(folder / "log", ALLOW_PRIVATE_URLS="1", AUDIO_ROOT=str(folder))
        yield Examples(server, folder, f"http://127.0.0.1:{world.server_port}")
        server.stop()
        world.shutdown()


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_each_request_is_answered_as_documented(page: str, examples: Examples) -> None:
    job = ""
    for command in commands(page):
        answer = examples.run(command.replace("jobs/ID", f"jobs/{job}"))
        assert answer.rpartition("\n")[2] in ("HTTP 200", "HTTP 202"), (command, answer)
        assert expected(command) in answer, (command, answer)
        if made := re.search(r'"id":"([^"]+)","state"|"task_id": "(call-17)"', answer):
            job = made[1] or made[2]
            examples.run(f"curl -N localhost:8000/jobs/{job}/events")  # ends with the job


def test_the_first_reply_is_the_one_that_the_readme_shows(examples: Examples) -> None:
    answer, _, _ = examples.run(commands("README.md")[0]).rpartition("\n")
    shown, given = (json.loads(reply) for reply in (blocks("README.md", "json")[0], answer))
    assert shown["text"] == given["text"]
    assert [chunk["text"] for chunk in shown["chunks"]] == [given["text"]]
    times = [reply["chunks"][0]["timestamp"] for reply in (shown, given)]
    assert times[0] == pytest.approx(times[1], abs=0.05)


def test_the_lines_for_openais_client_transcribe(examples: Examples, monkeypatch) -> None:
    [lines] = [block for block in blocks("README.md", "python") if "transcriptions" in block]
    monkeypatch.chdir(examples.folder)
    names: dict[str, Any] = {}
    text = lines.replace("client.audio", "subtitles = client.audio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # they leave their file open
        exec(text.replace("http://localhost:8000", examples.server.url), names)
    names["client"].close()
    assert "We travel from Lima" in names["subtitles"]


def test_the_lines_for_live_text_print_it_while_it_is_spoken(examples: Examples) -> None:
    [lines] = [block for block in blocks("README.md", "python") if "realtime" in block]
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    at_24_khz = soxr.resample(np.concatenate([samples, np.zeros(rate, np.float32)]), rate, 24_000)
    printed: list[str] = []

    def show(text: str, **_: object) -> None:
        printed.append(text)
        if "September" in text:
            raise EOFError  # The example reads events without end.

    names = {"pcm": (at_24_khz * 32767).astype("<i2").tobytes(), "print": show}
    with pytest.raises(EOFError):
        exec(lines.replace("http://localhost:8000", examples.server.url), names)
    assert "".join(printed).strip() == "We travel from Lima to Lisbon in September."
