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

from asr.config import Config
from asr.engines import hub, load
from asr.errors import ConfigError
from tests.conftest import PATIENCE_SECONDS, ROOT, free_port

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
        ("/no/such/directory", "there is no such directory"),
        ("a/b/c", "is neither a directory nor a model's name"),
    ],
)
def test_what_can_be_no_model_is_reported_without_asking_anybody(
    model: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(f"MODEL_ID={model!r}") + f".*{reason}"):
        hub.check(Config(model_id=model))


def test_a_description_of_no_known_model_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no-such-kind"}')
    with pytest.raises(
        ConfigError, match=r"^MODEL_ID='.*': .*config\.json cannot be used: .*no-such-kind.*$"
    ):
        load.load(Config(model_id=str(tmp_path), device="cpu"))


def test_a_damaged_file_of_weights_is_named(tmp_path: Path) -> None:
    demo = ROOT / "models" / "demo" / "weights"
    for path in demo.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(ConfigError, match=r"model\.safetensors is damaged: download it again"):
        load.load(Config(model_id=str(tmp_path), device="cpu"))
