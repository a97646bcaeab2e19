"""Kill whole servers at random moments, with uploads, an engine and webhooks, and count.

make kill-test
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import requests

from tests.conftest import ROOT, free_port
from tests.jobs.kill_test import AWAY_SECONDS, FROZEN_SECONDS, HEAD, Count
from tests.support.postgres import running_postgres

STEP_SECONDS = 0.3  # A step of the engine, which has one window of a job, takes so long.
CLIP_SECONDS = 2  # A job's audio is so long: one window.
START_SECONDS = 120.0  # A server has started within so many seconds.
ENOUGH_SECONDS = 300.0  # What is not told so long after the last harm is lost or stuck.


def clip() -> bytes:
    """A tone, as a WAV file."""
    times = np.arange(16_000 * CLIP_SECONDS) / 16_000
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes((np.sin(times * 2764) * 9000).astype("<i2").tobytes())
    return file.getvalue()


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, list[str]]]:
    """Run a receiver of webhooks; give its URL, and the ids of what it gets."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            received.append(self.headers["webhook-id"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", received
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Servers:
    """Real servers that share their jobs, or one with a store of its own."""

    folder: Path
    count: int
    settings: dict[str, str]
    hook: str
    received: list[str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    def start(self) -> None:
        self.ports = [free_port() for _ in range(self.count)]
        self.processes = [self._server(place) for place in range(self.count)]

    def _server(self, place: int) -> subprocess.Popen[bytes]:
        control = self.folder / f"{place}"
        control.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "HOST": "127.0.0.1",
            "PORT": str(self.ports[place]),
            "ENGINE_CONTROL": str(control),
            "ENGINE_STEP_SECONDS": str(STEP_SECONDS),
            "VAD": "off",
            "ALLOW_PRIVATE_URLS": "1",
            "JOBS_DIR": str(self.folder / "jobs"),
            "UPLOADS_URL": str(self.folder / "uploads"),
            **self.settings,
        }
        command = [sys.executable, "-m", "tests.support.launch"]
        with (control / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def answers(self, place: int) -> bool:
        with contextlib.suppress(requests.RequestException):
            url = f"http://127.0.0.1:{self.ports[place]}/hc"
            return requests.get(url, timeout=5).status_code == 200
        return False

    def kill(self) -> None:
        """Kill one at random, and start it again."""
        place = random.randrange(self.count)
        self.processes[place].kill()
        self.processes[place].wait(60)
        self.processes[place] = self._server(place)
        until(lambda: self.answers(place), START_SECONDS)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(60)

    def ask(self, method: str, path: str, **more: object) -> dict[str, object]:
        """Ask whichever server answers with a success."""
        while True:
            place = random.randrange(self.count)
            with contextlib.suppress(requests.RequestException):
                url = f"http://127.0.0.1:{self.ports[place]}{path}"
                answer = requests.request(method, url, timeout=15, **more)  # type: ignore[arg-type]
                if answer.ok:
                    found: dict[str, object] = answer.json()
                    return found
            time.sleep(0.1)

    def submit(self, jobs: int) -> None:
        """Submit jobs, some of them twice."""
        audio = clip()
        for number in [*range(jobs), *range(0, jobs, 10)]:
            fields = {"managed_task_id": f"job-{number}", "is_async": "true"}
            fields["webhook"] = json.dumps({"url": self.hook})
            self.ask("POST", "/upload", data=fields, files={"audio": ("a.wav", audio)})

    def told(self) -> int:
        return len(set(self.received))

    def completed(self, jobs: int) -> int:
        answers = [self.ask("GET", f"/status/job-{number}") for number in range(jobs)]
        return sum(answer.get("status") == "completed" for answer in answers)

    def running(self, place: int) -> float:
        """How many jobs one of them runs."""
        url = f"http://127.0.0.1:{self.ports[place]}/metrics"
        found = re.search(r"^asr_jobs_running (\S+)$", requests.get(url, timeout=15).text, re.M)
        assert found is not None
        return float(found[1])

    def late(self) -> list[str]:
        """The jobs whose result came too late to the first of them, so that it was dropped."""
        log = (self.folder / "0" / "log").read_text(errors="replace")
        return re.findall(r"job (job-\d+) is not this server's any more", log)

    def ends(self) -> list[tuple[str, int]]:
        """What the logs say of jobs that were completed: the id, and which attempt it was."""
        logs = "".join(
            (self.folder / f"{n}" / "log").read_text(errors="replace") for n in range(self.count)
        )
        found = re.findall(r"job (job-\d+): completed, .*attempt (\d+)", logs)
        return [(job_id, int(attempt)) for job_id, attempt in found]


def until(claim: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not claim() and time.monotonic() < end:
        time.sleep(0.05)


@contextlib.contextmanager
def servers_of(count: int, **settings: str) -> Iterator[Servers]:
    with tempfile.TemporaryDirectory() as folder, receiver() as (hook, received):
        servers = Servers(Path(folder), count, settings, hook, received)
        try:
            servers.start()
            until(lambda: all(servers.answers(place) for place in range(count)), START_SECONDS)
            yield servers
        finally:
            servers.stop()


def counted(servers: Servers, jobs: int, harm: str, harmed_at: float) -> Count:
    until(lambda: servers.told() >= jobs, ENOUGH_SECONDS)
    seconds = time.monotonic() - harmed_at
    ends = servers.ends()
    times = collections.Counter(job_id for job_id, _ in ends)
    ids = collections.Counter(servers.received)
    return Count(
        jobs=jobs,
        harm=harm,
        completed=servers.completed(jobs),
        done_twice=sum(count > 1 for count in times.values()),
        worked_twice=sum(attempt > 1 for _, attempt in ends),
        delivered=len(ids),
        doubled=sum(count > 1 for count in ids.values()),
        seconds=seconds,
    )


def killed(servers: Servers, jobs: int, kills: int) -> Count:
    """Kill servers while jobs are submitted, run and told of."""
    submitting = threading.Thread(target=servers.submit, args=(jobs,))
    submitting.start()
    harmed_at = 0.0
    for number in range(1, kills + 1):
        wanted = jobs * number // (kills + 1)
        until(lambda wanted=wanted: servers.told() >= wanted, 60.0)  # type: ignore[misc]
        time.sleep(random.uniform(0.0, 1.0))
        harmed_at = time.monotonic()
        servers.kill()
    submitting.join()
    return counted(servers, jobs, f"{kills} x kill -9", harmed_at)


@contextlib.contextmanager
def submitting(servers: Servers, jobs: int) -> Iterator[None]:
    """Submit jobs meanwhile; go on once a quarter of them is done."""
    thread = threading.Thread(target=servers.submit, args=(jobs,))
    thread.start()
    until(lambda: servers.told() >= jobs / 4, ENOUGH_SECONDS)
    yield
    thread.join()


def frozen(servers: Servers, jobs: int, seconds: float = FROZEN_SECONDS) -> Count:
    """Freeze a server that runs jobs, and thaw it when others have done them."""
    with submitting(servers, jobs):
        freeze(servers, seconds)
    thawed_at = time.monotonic()
    until(lambda: bool(servers.late()), ENOUGH_SECONDS)
    found = counted(servers, jobs, "", thawed_at)
    late = len(servers.late())
    return replace(found, harm=f"frozen for {seconds:g} s in {late} jobs")


def freeze(servers: Servers, seconds: float) -> None:
    """Freeze the first server once its engine has a job in a step that goes on after it."""
    hold = servers.folder / "0" / "hold"
    hold.write_text("0")
    until(lambda: servers.running(0) > 0, ENOUGH_SECONDS)
    servers.processes[0].send_signal(signal.SIGSTOP)
    hold.unlink()
    time.sleep(seconds)
    servers.processes[0].send_signal(signal.SIGCONT)


def main(jobs: int, kills: int) -> None:
    print(HEAD.replace("work repeated", "begun again"), flush=True)
    with servers_of(1) as servers:
        print(killed(servers, jobs, kills).row("SQLite, 1 whole server"), flush=True)
    with running_postgres(options=()) as database:
        name = "PostgreSQL, 3 whole servers"
        with servers_of(3, JOBS_URL=database.url) as servers:
            print(killed(servers, jobs, kills).row(name), flush=True)
        database.execute("DROP SCHEMA asr CASCADE")
        with servers_of(3, JOBS_URL=database.url) as servers:
            print(frozen(servers, jobs).row(name), flush=True)
        database.execute("DROP SCHEMA asr CASCADE")
        with servers_of(3, JOBS_URL=database.url) as servers:
            with submitting(servers, jobs):
                database.stop(signal.SIGQUIT)
                time.sleep(AWAY_SECONDS)
                database.start()
            harm = f"store dead for {AWAY_SECONDS:g} s"
            print(counted(servers, jobs, harm, time.monotonic()).row(name), flush=True)


if __name__ == "__main__":
    main(*[int(given) for given in sys.argv[1:3]] or [200, 10])
