"""A stand-in for a model hub on this machine: the embedded model under two other names.

It speaks what `huggingface_hub` asks when it downloads a snapshot. Weights lie on another host, as
they do for the hub: the answer is a redirection. One of the two models is gated: its files are for
those who bring the token.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from asr.config.config import DEMO_MODEL

OPEN = "example/whisper"
GATED = "example/whisper-gated"
TOKEN = "hf_stand_in_for_a_token_that_no_layer_keeps"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ELSEWHERE = "/elsewhere/"  # where weights lie


@contextmanager
def serving(directory: Path = DEMO_MODEL) -> Iterator[str]:
    """Its URL, for as long as the context lasts."""
    server = Hub(directory)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Hub(ThreadingHTTPServer):
    def __init__(self, directory: Path) -> None:
        self.files = {path.name: path.read_bytes() for path in directory.iterdir()}
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith(ELSEWHERE):
            self._send(200, self.server.files[path.removeprefix(ELSEWHERE)])
            return
        for model_id in (OPEN, GATED):
            if path == f"/api/models/{model_id}/revision/main":
                self._tell({"id": model_id, "sha": COMMIT, "siblings": []})
                return
            if path in {f"/api/models/{model_id}/tree/{name}" for name in ("main", COMMIT)}:
                self._tell([listed(*file) for file in self.server.files.items()])
                return
            if path.startswith(f"/api/models/{model_id}/tree/"):  # of a directory that it has not
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            for revision in ("main", COMMIT):
                start = f"/{model_id}/resolve/{revision}/"
                if path.startswith(start):
                    self._resolve(model_id, path.removeprefix(start))
                    return
        self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _resolve(self, model_id: str, name: str) -> None:
        if model_id == GATED and self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._send(401, b"", {"X-Error-Code": "GatedRepo"})
            return
        if name not in self.server.files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        body = self.server.files[name]
        about = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest(body)}"'}
        if name.endswith(".safetensors"):
            about |= {"X-Linked-Etag": about["ETag"], "X-Linked-Size": str(len(body))}
            place = f"http://localhost:{self.server.server_port}{ELSEWHERE}{name}"
            self._send(302, b"", about | {"Location": place})
        else:
            self._send(200, body, about)

    def _tell(self, answer: object) -> None:
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, about: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (about or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def listed(name: str, body: bytes) -> dict[str, object]:
    """A file as a listing of the hub has it: weights are in LFS."""
    told: dict[str, object] = {
        "type": "file",
        "path": name,
        "size": len(body),
        "oid": hashlib.sha1(body).hexdigest(),
    }
    if name.endswith(".safetensors"):
        told["lfs"] = {"oid": digest(body), "size": len(body), "pointerSize": 134}
    return told


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
