"""Start PostgreSQL for tests: Debian's package, on loopback, in a directory of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from asr.jobs.database import postgres as database
from asr.jobs.database import postgres_schema
from tests.conftest import PATIENCE_SECONDS, free_port
from tests.support.processes import until

QUICK = ("fsync=off", "full_page_writes=off")  # A power failure would lose what these keep.


@dataclass
class Postgres:
    """A server of databases that a test can end, freeze and start again."""

    binaries: Path
    data: Path
    port: int
    options: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres:secret@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        given = [
            f"-c{option}" for option in (*self.options, f"unix_socket_directories={self.data}")
        ]
        command = [self.binaries / "postgres", "-D", self.data, "-p", f"{self.port}", *given]
        with (self.data / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, **_as_postgres(), start_new_session=True
            )
        until(lambda: self.answers() or self._ended())
        if self._ended():
            raise OSError((self.data / "log").read_text())

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url, connect_timeout=2).close()
            return True
        return False

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End all its processes: at once by SIGQUIT, tidily by SIGINT."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE_SECONDS)

    def signal_all(self, what: signal.Signals) -> None:
        """Send a signal to the server and to all processes that it has for its callers."""
        assert self.process is not None
        os.kill(self.process.pid, what)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for child in children.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), what)

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


@contextlib.contextmanager
def running_postgres(options: tuple[str, ...] = QUICK) -> Iterator[Postgres]:
    """Run a server with an empty database.

    Raises:
        OSError: there is none, with the reason.
    """
    binaries = find_binaries()
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        data, secret = Path(folder) / "data", Path(folder) / "secret"
        secret.write_text("secret")
        for path in (Path(folder), secret):
            with contextlib.suppress(PermissionError, LookupError):
                shutil.chown(path, "postgres")
        command = [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256"]
        made = subprocess.run(
            [*command, f"--pwfile={secret}", "--no-sync"], capture_output=True, **_as_postgres()
        )
        if made.returncode:
            raise OSError(f"initdb failed: {made.stderr.decode()}")
        server = Postgres(binaries, data, free_port(), options)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def find_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    if program := shutil.which("initdb"):
        return Path(program).parent
    raise OSError("PostgreSQL is not installed: apt-get install postgresql")


def _as_postgres() -> dict[str, str]:
    """PostgreSQL refuses to run as root."""
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """Runs one server for all tests that only need a database."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running_postgres())
        except OSError as error:
            pytest.skip(f"no PostgreSQL: {error}")
        yield server


@pytest.fixture
def patient_postgres(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """Gives the server, and calls of its stores more time: a busy machine fails no test."""
    path = f"-c search_path={postgres_schema.SCHEMA}"
    for name, value in (("POOL_SECONDS", 60.0), ("CALL_SECONDS", 60.0), ("OPTIONS", path)):
        monkeypatch.setattr(database, name, value)
    return postgres_server


@pytest.fixture
def postgres(patient_postgres: Postgres) -> Postgres:
    """Gives the server with a database that has no tables of jobs."""
    patient_postgres.execute("DROP SCHEMA IF EXISTS asr CASCADE")
    return patient_postgres
