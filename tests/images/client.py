"""Runs in a container beside the server's: posts audio by every door, and prints what came as JSON.

client.py doors AUDIO        by bytes, by path and by URL, and all three texts must be the same
client.py drain AUDIO        a long request; prints "under way" when the engine has it
"""

from __future__ import annotations

import json
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

SERVER = "http://localhost:8000"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def doors(audio: Path) -> None:
    files = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=audio.parent))
    threading.Thread(target=files.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{files.server_port}/{audio.name}"
    heard = {
        "bytes": post(audio.read_bytes()),
        "path": post(json.dumps({"url": audio.name}).encode()),
        "url": post(json.dumps({"url": url}).encode()),
    }
    assert len({answer["text"] for answer in heard.values()}) == 1, heard
    print(json.dumps(heard))


def drain(audio: Path) -> None:
    answer: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: answer.append(post(audio.read_bytes())))
    thread.start()
    while metric("asr_queue_audio_seconds") == 0:
        assert thread.is_alive(), answer
        time.sleep(0.05)
    print("under way", flush=True)
    thread.join()
    print(json.dumps(answer[0]))


def post(data: bytes) -> dict[str, object]:
    started = time.monotonic()
    with urlopen(Request(f"{SERVER}/asr", data=data), timeout=600) as reply:
        answer = json.load(reply)
    return {"text": answer["text"], "seconds": round(time.monotonic() - started, 2)}


def metric(name: str) -> float:
    with urlopen(f"{SERVER}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name + " ")))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["doors", audio]:
            doors(Path(audio))
        case ["drain", audio]:
            drain(Path(audio))
        case _:
            sys.exit(__doc__)
