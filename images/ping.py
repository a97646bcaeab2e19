"""GET /ping on PORT_HEALTH (8001), as Runpod's load balancer asks of the server beside it.

204 while the model loads, 200 once it is ready, 503 after that when it fails. Opt-in:
`python companion.py python ping.py` as the command of an endpoint.
"""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import urlopen

HEALTH = f"http://localhost:{os.environ.get('PORT') or 8000}/hc"
PORT = int(os.environ.get("PORT_HEALTH") or 8001)
TIMEOUT_S = 5


class Ping(BaseHTTPRequestHandler):
    """The health of the server beside this, in Runpod's codes."""

    was_ready = False

    def do_GET(self) -> None:
        self.send_response(self._status() if self.path == "/ping" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: it is asked every few seconds."""

    @staticmethod
    def _status() -> int:
        try:
            with urlopen(HEALTH, timeout=TIMEOUT_S):
                Ping.was_ready = True
                return 200
        except HTTPError:
            return 503
        except OSError:  # the port is closed until the model is loaded
            return 503 if Ping.was_ready else 204


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Ping).serve_forever()
