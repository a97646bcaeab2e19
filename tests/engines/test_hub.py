"""A model that is not there is reported in one line: what was asked, where, and what to do."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asr.config.config import Config
from asr.engines import hub, load
from asr.engines.model_layout import CheckpointLayout
from asr.errors import ConfigError
from tests.conftest import PATIENCE_SECONDS, ROOT, free_port
from tests.images import hub as stand_in

ANSWERS = {  # as the hub tells them: the status and its X-Error-Code
    "no": (404, "RepoNotFound"),
    "closed": (403, "GatedRepo"),
    "empty": (404, "EntryNotFound"),
}


class Hub(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        status, code = ANSWERS[self.path.split("/")[1]]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """List the files of the model that has none."""
        self.send_response(200 if self.path.startswith("/api/models/empty/model/tree/") else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("model", "settings", "reason"),
    [
        (
            "no/such-model",
            {},
            "ADDRESS has no such model, or it is private: correct the name or set HF_",
        ),
        ("closed/model", {}, "closed/model is gated: accept its terms at ADDRESS and set HF_"),
        ("empty/model", {}, "ADDRESS has no config.json for it"),
        (
            "no/such-model",
            {"HF_HUB_OFFLINE": "1"},
            "it is not in CACHE_DIR='PLACE', and ",
        ),
    ],
)
def test_a_model_that_the_hub_does_not_give_stops_the_start(
    model: str, settings: dict[str, str], reason: str, address: str, tmp_path: Path
) -> None:
    port = str(free_port())
    where = {"HF_ENDPOINT": address, "CACHE_DIR": str(tmp_path), "HOST": "127.0.0.1", "PORT": port}
    done = subprocess.run(
        [sys.executable, str(ROOT / "server.py")],
        env={**os.environ, "MODEL_ID": model, **where, **settings},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    reason = reason.replace("ADDRESS", address).replace("PLACE", str(tmp_path))
    assert done.stderr.splitlines()[-1].startswith(f"configuration: MODEL_ID={model!r}: {reason}")
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (".", "is a directory without config.json"),
        ("/no/such/directory", "there is no such directory or file"),
        ("a/b/c", "is neither a directory nor a model's name"),
    ],
)
def test_what_can_be_no_model_is_reported_without_asking_anybody(
    model: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(f"MODEL_ID={model!r}") + f".*{reason}"):
        hub.locate(Config(model_id=model))


LOCATE = """
import sys
from asr.config.config import Config
from asr.engines.hub import locate
from asr.errors import ConfigError
try:
    path = locate(Config(model_id=sys.argv[1], cache_dir=sys.argv[2])).path
    print(*sorted(each.name for each in path.parent.iterdir()), "of which", path.name)
except ConfigError as error:
    print(error)
"""


def located(model: str, cache: Path, **settings: str) -> str:
    """Return the files that are there of a model at the hub, or the error."""
    command = [sys.executable, "-c", LOCATE, model, str(cache)]
    environment = os.environ | settings
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def written(directory: Path, *names: str) -> Path:
    """Make a repository whose models can be recognised."""
    heads = {".bin": b"lmgg" + bytes(100), ".json": b"{}"}
    for name in names:
        (directory / name).write_bytes(heads.get(Path(name).suffix, b""))
    if "model.bin" in names:
        head = b"\6\0\0\0\x0c\0WhisperSpec\0"
        (directory / "model.bin").write_bytes(head)
    return directory


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["config.json", "model.bin", "vocabulary.json", "README.md", "model.onnx"],
            "config.json model.bin vocabulary.json of which model.bin",
        ),
        (["ggml-base.bin", "README.md", "coreml.zip"], "ggml-base.bin of which ggml-base.bin"),
    ],
)
def test_a_model_of_another_layout_is_downloaded_once(
    names: list[str], expected: str, tmp_path: Path
) -> None:
    repository, cache = tmp_path / "repository", tmp_path / "cache"
    repository.mkdir()
    with stand_in.serving(written(repository, *names)) as url:
        assert located(stand_in.OPEN, cache, HF_ENDPOINT=url) == expected
    assert located(stand_in.OPEN, cache, HF_HUB_OFFLINE="1") == expected


def test_of_several_models_at_the_hub_one_is_to_be_named(tmp_path: Path) -> None:
    repository, cache = tmp_path / "repository", tmp_path / "cache"
    repository.mkdir()
    with stand_in.serving(written(repository, "a.bin", "b.bin")) as url:
        where = {"HF_ENDPOINT": url}
        assert located(stand_in.OPEN, cache, **where).endswith(
            "has several models: name one of example/whisper/a.bin, example/whisper/b.bin"
        )
        assert located(f"{stand_in.OPEN}/b.bin", cache, **where) == "b.bin of which b.bin"


def test_of_several_models_in_a_directory_one_is_to_be_named(tmp_path: Path) -> None:
    written(tmp_path, "a.bin", "b.bin")
    with pytest.raises(ConfigError, match=r"several models: name one of a\.bin, b\.bin"):
        hub.locate(Config(model_id=str(tmp_path)))
    found = hub.locate(Config(model_id=str(tmp_path / "b.bin")))
    assert (found.layout, found.path) == (CheckpointLayout.GGML, tmp_path / "b.bin")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "speech.wav").write_bytes(b"RIFF1234WAVEfmt ")
    with pytest.raises(ConfigError, match=r"speech\.wav' is a file that holds no Whisper model"):
        hub.locate(Config(model_id=str(tmp_path / "speech.wav")))


def test_a_description_of_no_known_model_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no-such-kind"}')
    with pytest.raises(
        ConfigError, match=r"^MODEL_ID='.*': .*config\.json cannot be used: .*no-such-kind.*$"
    ):
        load.load(Config(model_id=str(tmp_path), device="cpu", dtype="float32"))


def test_a_damaged_file_of_weights_is_named(tmp_path: Path) -> None:
    demo = ROOT / "models" / "demo" / "weights"
    for path in demo.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(ConfigError, match=r"model\.safetensors is damaged: download it again"):
        load.load(Config(model_id=str(tmp_path), device="cpu", dtype="float32"))
