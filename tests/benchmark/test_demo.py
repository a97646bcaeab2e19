"""The demonstration: what it counts as wrong, prints, and makes of a server that fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmark import demo
from tests.conftest import Server, tone, wav

STUB = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def answer(self, body, **headers):
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        self.answer({"status": "ok"})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"text": sys.argv[1]}, X_Audio_Length="2.0", X_Realtime_Factor="8.0")

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """One sample, as models/demo/samples lists them."""
    (tmp_path / "one.flac").write_bytes(wav(tone(2.0)))
    entry = {"file": "one.flac", "language": "es", "text": "Hoy hace frío.", "seconds": 2.0}
    (tmp_path / "samples.json").write_text(json.dumps([entry]), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("said", "written", "wrong"),
    [
        ("One two three.", " one, TWO three", 0),
        ("one two three", "one three", 1),
        ("one two three", "one too three four", 2),
        ("one two", "", 2),
        ("", "thank you", 2),
        ("", "", 0),
    ],
)
def test_words_wrong_are_the_fewest_edits(said: str, written: str, wrong: int) -> None:
    assert demo.words_wrong(said, written) == wrong


def test_the_transcript_stands_beside_its_reference(
    samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(samples, (sys.executable, "-c", STUB, " hoy hace frío")) == 0
    output = capsys.readouterr().out
    assert "one.flac  2.0 s  es  8.0 x real time  0 of 3 words wrong" in output
    assert "  said   Hoy hace frío.\n  wrote  hoy hace frío\n" in output
    assert "1 samples, 2.0 s: 0 of 3 words wrong; realtime factor 8.0" in output
    assert "make serve" in output


def test_grossly_wrong_transcripts_end_it_with_1(
    samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(samples, (sys.executable, "-c", STUB, "hola")) == 1
    assert "3 of 3 words wrong, which is far too many" in capsys.readouterr().out


def test_a_server_that_ends_shows_its_last_words(
    samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(samples, (sys.executable, "-c", "raise SystemExit('no weights')")) == 1
    assert "no weights" in (errors := capsys.readouterr().err)
    assert "the server ended with exit code 1" in errors


def test_a_refused_sample_is_named(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refusing = STUB.replace("def do_POST", "def do_PUT")  # http.server answers 501
    assert demo.main(samples, (sys.executable, "-c", refusing)) == 1
    assert "one.flac was answered 501" in capsys.readouterr().err


def test_missing_samples_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(tmp_path, ()) == 1
    assert "samples.json is missing" in capsys.readouterr().err


def test_the_embedded_model_transcribes_the_shipped_samples(server: Server) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    transcribed = [demo.transcribe(port, sample) for sample in demo.read_samples(demo.SAMPLES)]
    assert transcribed
    assert not demo.is_grossly_wrong(transcribed), demo.summary(transcribed)
