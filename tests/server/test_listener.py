"""The port: reserved before the model is loaded, then opened, and named."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path

import pytest

from tests.conftest import PATIENCE_SECONDS
from tests.support.processes import controlled, get, until


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_address_of_the_machine_is_answered(tmp_path: Path, host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with controlled(tmp_path, HOST="*") as server:
        connection = http.client.HTTPConnection(host, server.port, timeout=PATIENCE_SECONDS)
        connection.request("GET", "/hc")
        assert json.loads(connection.getresponse().read())["status"] == "ok"
        connection.close()


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("host.invalid", ""),  # what a resolver says differs
        ("192.0.2.1", "cannot assign requested address"),  # RFC 5737: nobody's
        ("a..b", "not a host name"),
    ],
)
def test_an_address_that_is_not_the_machines_is_reported_before_the_model_is_loaded(
    tmp_path: Path, host: str, reason: str
) -> None:
    with controlled(tmp_path, wait=False, HOST=host) as server:
        assert server.process.wait(PATIENCE_SECONDS) == 1
        [line] = server.log.read_text().splitlines()
        assert line.startswith(f"configuration: HOST={host!r} is not an address of this machine: ")
        assert reason in line
        assert not (tmp_path / "loading").exists()


def test_a_port_in_use_is_reported_before_the_model_is_loaded(tmp_path: Path) -> None:
    with controlled(tmp_path) as server:
        second = tmp_path / "second"
        second.mkdir()
        with controlled(second, wait=False, PORT=str(server.port)) as other:
            assert other.process.wait(PATIENCE_SECONDS) == 1
            [line] = other.log.read_text().splitlines()
            assert line.startswith(f"configuration: PORT='{server.port}': address already in use;")
            assert not (second / "loading").exists()
        assert get(server, "/hc")[0] == 200


def test_a_port_that_was_taken_while_the_model_loaded_is_reported_as_plainly(
    tmp_path: Path,
) -> None:
    second = tmp_path / "second"
    second.mkdir()
    for directory in (tmp_path, second):
        (directory / "hold-load").touch()
    with controlled(tmp_path, wait=False) as server:
        port = str(server.port)
        with controlled(second, wait=False, PORT=port) as slow:
            until((second / "loading").exists)
            (tmp_path / "hold-load").unlink()
            until(server.answers)
            (second / "hold-load").unlink()
            assert slow.process.wait(PATIENCE_SECONDS) == 1
            last = slow.log.read_text().splitlines()[-1]
            assert last.startswith(f"configuration: PORT='{port}': address already in use;")
            assert "Traceback" not in slow.log.read_text()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("settings", "count"), [({}, 1), ({"API_KEY": "k"}, 0)])
def test_a_server_without_a_key_on_a_public_address_says_so_once(
    tmp_path: Path, settings: dict[str, str], count: int
) -> None:
    with controlled(tmp_path, HOST="*", **settings) as server:
        until(lambda: " start: " in server.log.read_text())
        warnings = [line for line in server.log.read_text().splitlines() if "API_KEY" in line]
        assert len(warnings) == count
        assert all(" WARNING no API_KEY is set: everybody " in line for line in warnings)
