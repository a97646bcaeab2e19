"""Runs in a container beside the server's: posts audio by every door, and prints what came as JSON.

client.py doors AUDIO        by bytes, by path and by URL, and all three texts must be the same
client.py drain SECONDS      a long request; prints "under way" when the engine has it
"""

from __future__ import annotations

import io
import json
import math
import struct
import sys
import threading
import time
import wave
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

SERVER = "http://localhost:8000"
SAMPLE_RATE = 16_000  # samples per second


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


def drain(seconds: int) -> None:
    answer: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: answer.append(post(tone(seconds))))
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


def tone(seconds: int) -> bytes:
    """Ten seconds of a sweep over and over, as WAV."""
    sweep = b"".join(
        struct.pack("<h", int(8000 * math.sin(0.05 * number * (1 + number / 40_000))))
        for number in range(10 * SAMPLE_RATE)
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE)
        sound.writeframes(sweep * (seconds // 10))
    return file.getvalue()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["doors", audio]:
            doors(Path(audio))
        case ["drain", seconds]:
            drain(int(seconds))
        case _:
            sys.exit(__doc__)
