"""Bazarr's provider `whisperai`, as its source sends its two calls, at a real process.

https://github.com/morpheus65535/bazarr: custom_libs/subliminal_patch/providers/whisperai.py. Its
ffmpeg makes 16 kHz mono PCM of a video, which `requests` sends as the part `audio_file` of a form.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
import srt

from asr.audio.ffmpeg import find_program
from tests.behaviour.test_speech import SAMPLES
from tests.conftest import PATIENCE_SECONDS, Server

SAID = "We travel from Lima to Lisbon in September."
VIDEO = "/tv/Some Show/Season 1/Some Show - S01E01.mkv"
CONNECT_SECONDS = 5  # Bazarr's default, within which its whole upload must be sent.
BASES = ["", "/whisper-asr"]


class Provider:
    """Sends what the provider sends; `url` is its setting `endpoint`."""

    def __init__(self, url: str) -> None:
        self._endpoint = url.rstrip("/")
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "Subliminal/2"

    def post(self, path: str, audio: bytes, **params: str | None) -> requests.Response:
        return self._session.post(
            f"{self._endpoint}{path}",
            params={"encode": "false", **params},
            files={"audio_file": audio},
            timeout=(CONNECT_SECONDS, PATIENCE_SECONDS),
        )

    def detect_language(self, audio: bytes, video: str | None) -> dict[str, Any]:
        answer = self.post("/detect-language", audio, video_file=video)
        found: dict[str, Any] = answer.json()
        return found

    def subtitles(self, audio: bytes, task: str, language: str, video: str | None) -> bytes:
        answer = self.post(
            "/asr", audio, task=task, language=language, output="srt", video_file=video
        )
        return answer.content


def ffmpeg(*arguments: str, data: bytes = b"") -> bytes:
    program = find_program()
    assert program is not None
    command = [program, "-v", "error", *arguments]
    ended = subprocess.run(command, input=data, capture_output=True, check=True)
    assert ended.stderr == b""
    return ended.stdout


def pcm(path: Path) -> bytes:
    form = ("-f", "s16le", "-acodec", "pcm_s16le", "-ac", "1", "-ar", "16000")
    return ffmpeg("-nostdin", "-i", str(path), *form, "-af", "aresample=async=1", "-")


@pytest.fixture(params=BASES)
def provider(request: Any, server: Server) -> Provider:
    return Provider(server.url + request.param)


@pytest.mark.parametrize("video", [None, VIDEO])
def test_the_language_of_a_video_is_detected(provider: Provider, video: str | None) -> None:
    for name, code, language in (("en-short", "en", "english"), ("es-several", "es", "spanish")):
        results = provider.detect_language(pcm(SAMPLES / f"{name}.flac"), video)
        assert results.keys() == {"detected_language", "language_code", "confidence"}
        assert (results["language_code"], results["detected_language"]) == (code, language)
        assert 0.5 < results["confidence"] <= 1


@pytest.mark.parametrize("video", [None, VIDEO])
def test_a_video_gets_subtitles_that_ffmpeg_reads(provider: Provider, video: str | None) -> None:
    audio = pcm(SAMPLES / "en-short.flac")
    content = provider.subtitles(audio, "transcribe", "en", video)
    [cue] = srt.parse(content.decode())
    assert cue.content == SAID
    assert 0 <= cue.start.total_seconds() < cue.end.total_seconds() <= len(audio) / 32_000
    assert SAID.encode() in ffmpeg("-f", "srt", "-i", "-", "-f", "webvtt", "-", data=content)


def test_what_nobody_says_is_no_language_and_has_no_subtitles(provider: Provider) -> None:
    silence = bytes(3 * 32_000)
    assert provider.detect_language(silence, VIDEO)["language_code"] == "und"
    assert provider.subtitles(silence, "transcribe", "en", None) == b""


def test_a_refusal_is_json_with_its_detail(provider: Provider) -> None:
    answer = provider.post("/asr", b"\0\0" * 16_000, output="srt", language="klingon")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "language"]
