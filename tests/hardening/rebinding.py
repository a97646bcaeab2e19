"""Run a DNS server, an origin and our server in a network namespace, and ask for a URL.

It is a program of its own, because a namespace belongs to a process. It writes JSON: the status of
each request, and who reached the origin at which address.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PUBLIC = "93.184.215.14"  # The namespace's loopback has this address of the open internet too.
PRIVATE = "127.0.0.1"
PORT = 8000  # Our server's; nothing else runs in the namespace.
# Name → the addresses of the first answer, of the second, and so on; the last ones stay.
NAMES = {
    "steady.example": [[PUBLIC]],
    "rebinds.example": [[PUBLIC], [PRIVATE]],
    "flips.example": [[PRIVATE], [PUBLIC]],
    "both.example": [[PRIVATE, PUBLIC], [PUBLIC, PRIVATE], [PRIVATE]],
    "inside.example": [[PRIVATE]],
    "hops.example": [[PUBLIC], [PRIVATE]],
}


class Dns(socketserver.BaseRequestHandler):
    """Answers questions for IPv4 addresses from NAMES, with a lifetime of 0 s."""

    asked: dict[str, int] = {}  # noqa: RUF012

    def handle(self) -> None:
        data, listener = self.request
        labels, place = [], 12
        while size := data[place]:
            labels.append(data[place + 1 : place + 1 + size].decode())
            place += 1 + size
        name, question = ".".join(labels).lower(), data[12 : place + 5]
        [kind] = struct.unpack(">H", data[place + 1 : place + 3])
        addresses = self.next_addresses(name) if kind == 1 else []
        answers = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
            for address in addresses
        )
        known = name in NAMES
        flags = 0x8180 if known else 0x8183
        head = data[:2] + struct.pack(">HHHHH", flags, 1, len(addresses), 0, 0)
        listener.sendto(head + question + answers, self.client_address)

    def next_addresses(self, name: str) -> list[str]:
        answers = NAMES.get(name, [[]])
        turn = self.asked.get(name, 0)
        self.asked[name] = turn + 1
        return answers[min(turn, len(answers) - 1)]


class Origin(BaseHTTPRequestHandler):
    """Serves audio, and notes at which of its addresses it was reached."""

    seen: list[str] = []  # noqa: RUF012
    audio = b""

    def do_GET(self) -> None:
        self.seen.append(f"{self.connection.getsockname()[0]}{self.path}")
        if self.path == "/hop":
            self.send_response(302)
            self.send_header("Location", "http://hops.example/secret")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.audio)))
        self.end_headers()
        self.wfile.write(self.audio)

    def log_message(self, *_: object) -> None:
        pass


URLS = [
    "http://steady.example/a",
    "http://rebinds.example/1",
    "http://rebinds.example/2",
    "http://flips.example/1",
    "http://flips.example/2",
    "http://both.example/1",
    "http://both.example/2",
    "http://both.example/3",
    "http://inside.example/a",
    "http://hops.example/hop",
]


def main(audio: Path) -> None:
    Origin.audio = audio.read_bytes()
    subprocess.run(["ip", "address", "add", f"{PUBLIC}/32", "dev", "lo"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        resolv = Path(folder) / "resolv.conf"
        resolv.write_text(f"nameserver {PRIVATE}\noptions attempts:1 timeout:2\n")
        real = Path("/etc/resolv.conf").resolve()
        subprocess.run(["mount", "--bind", str(resolv), str(real)], check=True)
        for served in (
            socketserver.ThreadingUDPServer((PRIVATE, 53), Dns),
            ThreadingHTTPServer((PRIVATE, 80), Origin),
            ThreadingHTTPServer((PUBLIC, 80), Origin),
        ):
            threading.Thread(target=served.serve_forever, daemon=True).start()
        statuses = asked(Path(folder))
    json.dump({"statuses": statuses, "seen": Origin.seen, "asked": Dns.asked}, sys.stdout)


def asked(folder: Path) -> dict[str, int]:
    """Start our server and send every URL to it."""
    settings = {"HOST": PRIVATE, "PORT": str(PORT), "ENGINE_CONTROL": str(folder), "VAD": "off"}
    command = [sys.executable, "-m", "tests.support.launch"]
    process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            try:
                return {url: post(url) for url in URLS}
            except ConnectionRefusedError:
                time.sleep(0.1)  # polling another process: there is nothing to wait on
    finally:
        process.kill()
        process.wait()
    raise TimeoutError("the server did not start")


def post(url: str) -> int:
    connection = http.client.HTTPConnection(PRIVATE, PORT, timeout=60)
    connection.request("POST", "/asr", json.dumps({"url": url}))
    status = connection.getresponse().status
    connection.close()
    return status


if __name__ == "__main__":
    main(Path(sys.argv[1]))
