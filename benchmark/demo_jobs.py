"""Show jobs: a file of 20 minutes with its progress, a cancel, and a webhook that is verified."""

from __future__ import annotations

import contextlib
import io
import json
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import soundfile
from standardwebhooks import Webhook

from benchmark.demo import SERVER, DemoFailed, running_server
from benchmark.paths import SAMPLES

MINUTES = 20.0  # The recording has so many minutes.
RATE = 16_000  # samples per second
PAUSE_SECONDS = 0.5  # So much silence is between two samples.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # The webhook is signed with it.
LOOK_SECONDS = 0.5  # The job's progress is asked for so often.
SHOWN_CHARS = 60  # So many characters of the text so far are shown, its last ones.
LONGEST_SECONDS = 900.0  # A job that has not ended after so many seconds has failed.

Json = dict[str, Any]


def main() -> int:
    """Run the show; return exit code 0 where all of it was as promised."""
    try:
        with tempfile.TemporaryDirectory() as directory, receiver() as (url, received):
            settings = {"ALLOW_PRIVATE_URLS": "1", "JOBS_DIR": directory}
            print("starting the server ...\n", flush=True)
            with running_server(SERVER, settings) as port:
                show(port, url, received)
    except DemoFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def show(port: int, url: str, received: queue.Queue[Json]) -> None:
    """Submit two jobs, cancel the second, follow the first and await its webhook.

    Raises:
        DemoFailed: something was not as promised.
    """
    data = recording(MINUTES)
    query = f"?webhook={url}&webhook_secret={SECRET}&response_format=srt"
    first = ask(port, "POST", f"/jobs{query}", data, 202)
    second = ask(port, "POST", "/jobs", data, 202)
    print(f"submitted {first['id']}: {MINUTES:g} minutes, {len(data) / 2**20:.0f} MiB")
    print(f"submitted {second['id']}: {second['position']:.0f} s of audio are before it")
    cancelled = ask(port, "DELETE", f"/jobs/{second['id']}")
    print(f"cancelled the second: it is {cancelled['state']}\n")
    if cancelled["state"] != "cancelled":
        raise DemoFailed(f"the second job is {cancelled['state']}")
    job = followed(port, first["id"])
    if job["state"] != "completed":
        raise DemoFailed(f"the job is {job['state']}: {job['error']}")
    try:
        message = received.get(timeout=30)
    except queue.Empty:
        raise DemoFailed("no webhook came, or none whose signature is right") from None
    first_cue = message["data"]["result"].split("\n\n")[0].replace("\n", " | ")
    print(f"\nthe webhook came and its signature is right: {message['type']}")
    print(f"its first subtitle: {first_cue}")


def followed(port: int, job_id: str) -> Json:
    """Print a job's progress until it has ended; return it as it is then."""
    started, shown = time.monotonic(), ""
    while True:
        job = ask(port, "GET", f"/jobs/{job_id}")
        done, total = job["progress"]["done"], job["progress"]["total"]
        text = job["text"][-SHOWN_CHARS:].replace("\n", " ")
        line = f"{job['state']:>9} {done:7.1f} of {total:.1f} s  …{text}"
        if line != shown:
            print(line, flush=True)
        shown = line
        if job["state"] not in {"queued", "running"}:
            print(f"after {time.monotonic() - started:.1f} s")
            return job
        if time.monotonic() - started > LONGEST_SECONDS:
            raise DemoFailed(f"the job has not ended after {LONGEST_SECONDS:g} s")
        time.sleep(LOOK_SECONDS)


def recording(minutes: float) -> bytes:
    """The shipped samples one after the other, again and again, as WAV."""
    quiet = np.zeros(round(PAUSE_SECONDS * RATE), np.float32)
    parts = []
    for path in sorted(SAMPLES.glob("*.flac")):
        samples, rate = soundfile.read(path, dtype="float32")
        if rate == RATE and samples.ndim == 1:
            parts += [samples, quiet]
    if not parts:
        raise DemoFailed(f"there are no samples in {SAMPLES}")
    whole = np.resize(np.concatenate(parts), round(minutes * 60 * RATE))
    file = io.BytesIO()
    soundfile.write(file, whole, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def ask(port: int, method: str, path: str, body: bytes | None = None, expected: int = 200) -> Json:
    """The JSON that the server answers.

    Raises:
        DemoFailed: it has another status.
    """
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request(method, path, body)
        reply = connection.getresponse()
        found = reply.read().decode()
    if reply.status != expected:
        raise DemoFailed(f"{method} {path} was answered {reply.status}: {found}")
    answer: Json = json.loads(found)
    return answer


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[Json]]]:
    """Receive webhooks on this machine; yield the URL, and those whose signature is right."""
    received: queue.Queue[Json] = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers: Mapping[str, str] = {k.lower(): v for k, v in self.headers.items()}
            received.put(Webhook(SECRET).verify(body, dict(headers)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing for each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", received
        finally:
            server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
