"""What the documentation of other servers tells to type works here, at a real process.

SaladTechnologies/asr-api, Hugging Face's Whisper endpoints with their announcement, and
TemaSM/hfie-asr-multilingual-whisper: their commands with another address and another file.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.behaviour.test_speech import SAMPLES
from tests.conftest import Server, start_server

AUDIO = SAMPLES / "en-short.flac"
SAID = "We travel from Lima to Lisbon in September."
SECONDS = 120

SALAD_BYTES = """
curl -X POST {url}/asr --data-binary @{audio} -H "Content-Type: application/octet-stream"
"""
HUGGING_FACE = """
curl {url}/api/v1/audio/transcriptions \
    --request POST \
    --header 'Content-Type: multipart/form-data' \
    -F file=@{audio} \
    -F "response_format={shape}"
"""
TEMASM = """
curl -s -X POST "{url}/v1/audio/transcriptions" \
  -H "Authorization: Bearer dummy" \
  -H "Content-Type: multipart/form-data" \
  -F "file=@{audio}" \
  -F "model=whisper" \
  -F "response_format={shape}"
"""
ANNOUNCEMENT = """
import requests

ENDPOINT_URL = "{url}/api/v1/audio/transcriptions"
HF_TOKEN = "hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
AUDIO_FILE = "{audio}"

headers = {{"Authorization": f"Bearer {{HF_TOKEN}}"}}

with open(AUDIO_FILE, "rb") as f:
    files = {{"file": f.read()}}

response = requests.post(ENDPOINT_URL, headers=headers, files=files)
response.raise_for_status()

print("Transcript:", response.json()["text"])
"""
TEMASM_SETTINGS = {  # of its deployment, and its defaults
    "VLLM_ATTENTION_BACKEND": "XFORMERS",
    "VLLM_USE_FLASHINFER": "0",
    "DTYPE": "half",
    "VLLM_KV_CACHE_DTYPE": "fp16",
    "WHISPER_SAMPLING_RATE": "16000",
    "WHISPER_SEGMENT_DURATION_SEC": "30",
    "MAX_AUDIO_SECONDS": "10",
    "LANGUAGE_FORCE": "",
    "TIMESTAMPS": "auto",
}
SALAD_SETTINGS = {  # its table, as it stands
    "FLASH_ATTENTION_2": "",
    "BATCH_SIZE": "16",
    "MAX_NEW_TOKENS": "128",
    "CHUNK_LENGTH_S": "30",
    "STRIDE_LENGTH_S": "5",
}


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the settings of both that have any."""
    log = tmp_path_factory.mktemp("configured") / "log"
    running = start_server(log, **TEMASM_SETTINGS, **SALAD_SETTINGS)
    yield running
    running.stop()


def typed(command: str, server: Server, shape: str = "") -> str:
    """What comes of a command line."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    words = shlex.split(command.format(url=server.url, audio=AUDIO, shape=shape))
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=True)
    return done.stdout


def test_salads_health_check_has_its_two_keys(server: Server) -> None:
    answer = requests.get(f"{server.url}/hc", timeout=SECONDS).json()
    assert (answer.keys(), answer["status"]) == ({"status", "version"}, "ok")


def test_salads_curl_sends_bytes(server: Server) -> None:
    [chunk] = json.loads(typed(SALAD_BYTES, server))["chunks"]
    assert chunk["text"].strip() == SAID


def test_salads_python_sends_an_open_file(server: Server) -> None:
    with AUDIO.open("rb") as file:
        response = requests.post(f"{server.url}/asr", data=file, timeout=SECONDS)
    answer = response.json()
    assert answer.keys() == {"text", "chunks"}
    assert answer["text"] == "".join(chunk["text"] for chunk in answer["chunks"])
    start, end = answer["chunks"][0]["timestamp"]
    assert 0 <= start < end <= 4
    for name in ("Processing-Time", "Audio-Length", "Realtime-Factor"):
        assert float(response.headers[f"X-{name}"]) > 0
    assert response.headers["X-Model-ID"] == "demo"
    assert response.headers["X-GPU-Name"]
    for name in ("X-Salad-Machine-ID", "X-Salad-Container-Group-ID"):
        assert response.headers[name] == ""


def test_salads_path_on_the_same_machine_is_read(server: Server) -> None:
    asked = {"url": str(AUDIO)}
    answer = requests.post(f"{server.url}/asr", json=asked, timeout=SECONDS).json()
    assert answer["text"].strip() == SAID


def test_salads_docs_are_a_page(server: Server) -> None:
    page = requests.get(f"{server.url}/docs", timeout=SECONDS)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "swagger" in page.text


@pytest.mark.parametrize("command", [HUGGING_FACE, TEMASM], ids=["Hugging Face", "TemaSM"])
@pytest.mark.parametrize("shape", ["text", "json", "verbose_json"])
def test_the_curl_of_the_endpoints_gets_each_shape(
    server: Server, command: str, shape: str
) -> None:
    found = typed(command, server, shape)
    if shape == "text":
        assert found == SAID
        return
    answer = json.loads(found)
    assert answer["text"] == SAID
    if shape == "verbose_json":
        wanted = "id start end seek temperature text tokens avg_logprob compression_ratio"
        assert {*wanted.split(), "no_speech_prob"} <= answer["segments"][0].keys()
        assert (answer["duration"], answer["language"]) == (4.0, "english")


def test_the_program_of_the_announcement_prints_its_line(server: Server) -> None:
    program = ANNOUNCEMENT.format(url=server.url, audio=AUDIO)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS
    )
    assert (done.stdout, done.stderr) == (f"Transcript: {SAID}\n", "")


def test_the_settings_of_other_images_start_the_server_and_count(configured: Server) -> None:
    assert typed(TEMASM, configured, "text") == SAID
    long = (SAMPLES / "en-several.flac").read_bytes()
    refused = requests.post(f"{configured.url}/asr", data=long, timeout=SECONDS)
    assert refused.status_code == 413
    assert "MAX_AUDIO_SECONDS=10" in refused.json()["error"]
    log = Path(configured.log).read_text()
    for name in ("VLLM_ATTENTION_BACKEND", "VLLM_USE_FLASHINFER", "VLLM_KV_CACHE_DTYPE"):
        assert f"{name}='{TEMASM_SETTINGS[name]}' has no effect" in log
